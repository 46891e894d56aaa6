// What is in force, for tests of the verbs: a written document, what it means, and the traffic state.
import type { Json } from '../../src/config/document.ts'
import { parseConfig } from '../../src/config/load.ts'
import { NO_TRAFFIC_STATE, tidied } from '../../src/control/traffic-state.ts'
import type { InForce, Moved } from '../../src/control/verbs.ts'

type Written = Record<string, unknown>

/** A document with the service `shop`; versions are names, or written as in the config. */
export function shopDocument(versions: (string | Written)[], service: Written = {}): Json {
  const document = {
    listeners: [{ address: '127.0.0.1:0' }],
    services: [
      { name: 'other', versions: [{ name: 'only', endpoints: ['http://127.0.0.1:9100'] }] },
      {
        name: 'shop',
        versions: versions.map(version => ({
          endpoints: ['http://127.0.0.1:9001'],
          ...(typeof version === 'string' ? { name: version } : version),
        })),
        ...service,
      },
    ],
    routes: [{ service: 'shop' }],
  }
  return document as unknown as Json
}

/** Brings a document into force, as revisions do. */
export function inForce(document: Json, state = NO_TRAFFIC_STATE, env: Record<string, string> = {}): InForce {
  const loaded = parseConfig(JSON.stringify(document), { env })
  if (!loaded.ok) throw new Error(loaded.problems.map(({ path, message }) => `${path}: ${message}`).join('\n'))
  return { document: loaded.document, config: loaded.config, state: tidied(state, loaded.config) }
}

/** Brings what a verb made into force. */
export function applied(moved: Moved | null, env: Record<string, string> = {}): InForce {
  if (moved === null) throw new Error('the verb changed nothing')
  return inForce(moved.document, moved.state, env)
}

/** The weights of the service `shop` that are in force. */
export function weightsIn({ config }: InForce): Record<string, number> {
  return config.services.find(({ name }) => name === 'shop')!.traffic.split.weights
}

/** Versions of `shop` that drain. */
export function drainsIn({ state }: InForce): string[] {
  return state.drains.filter(({ service }) => service === 'shop').map(({ version }) => version)
}
