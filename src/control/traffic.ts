// Moves traffic between the versions of a service while requests are served: every verb becomes a revision, which
// workers switch to at the same instant. What each verb changes is in verbs.ts.
import type { DrainStatus, Drains } from './drains.ts'
import { Refusal } from './errors.ts'
import { withOwn } from './fixed-keys.ts'
import type { Health } from './health.ts'
import type { Revision, Revisions } from './revisions.ts'
import type { Source } from './stored-revision.ts'
import { cancelDrain, cutover, type Moved, rollback, split, startDrain } from './verbs.ts'

/** Who asks, and why; with `expected` only if the revision in force has that number. */
export type By = { actor: string; reason: string | null; expected?: number }

export type TrafficResult = {
  /** Number of the revision in force. */
  revision: number
  /** False when traffic went that way already. */
  changed: boolean
  /** The versions of the service that drain or are drained. */
  drains: (DrainStatus & { version: string })[]
}

export type CutoverOptions = {
  to: string
  /** A duration such as `30s`, up to 168h; default: the service's. */
  deadline?: string
  /** Also to a version without a usable endpoint. */
  force?: boolean
}

export type TrafficOptions = {
  revisions: Pick<Revisions, 'change' | 'get'>
  health: Pick<Health, 'usable'>
  drains: Pick<Drains, 'status'>
}

export class Traffic {
  readonly #revisions: TrafficOptions['revisions']
  readonly #health: TrafficOptions['health']
  readonly #drains: TrafficOptions['drains']

  constructor({ revisions, health, drains }: TrafficOptions) {
    this.#revisions = revisions
    this.#health = health
    this.#drains = drains
  }

  /** New weights; versions not named get 0. */
  split(service: string, weights: Readonly<Record<string, number>>, by: By): Promise<TrafficResult> {
    return this.#move('split', service, by, current => split(current, service, weights))
  }

  /** All new requests to one version; the others drain. Refuses with no_healthy_endpoint unless forced. */
  cutover(service: string, { to, deadline, force = false }: CutoverOptions, by: By): Promise<TrafficResult> {
    return this.#move('cutover', service, by, current => {
      const moved = cutover(current, service, { to, deadline }, Date.now())
      if (moved !== null && !force && this.#health.usable(service, to) === 0) {
        const message = `version "${to}" of service "${service}" has no healthy endpoint. Force the cutover to do it all the same.`
        throw new Refusal('no_healthy_endpoint', message)
      }
      return moved
    })
  }

  /** Back to the traffic before the last cutover or split. */
  rollback(service: string, by: By): Promise<TrafficResult> {
    return this.#move('rollback', service, by, current => rollback(current, service, Date.now()))
  }

  /** No new users for a version. */
  startDrain(service: string, version: string, options: { deadline?: string }, by: By): Promise<TrafficResult> {
    return this.#move('drain', service, by, current => startDrain(current, service, version, options, Date.now()))
  }

  /** Users for a version that drains or is drained. */
  cancelDrain(service: string, version: string, by: By): Promise<TrafficResult> {
    return this.#move('drain', service, by, current => cancelDrain(current, service, version))
  }

  /** The document of an earlier revision once more. Versions that get weight by it drain no longer. */
  async rollbackTo(number: number, { actor, reason, expected }: By): Promise<TrafficResult> {
    const earlier = this.#revisions.get(number)
    if (earlier === null) throw new Refusal('no_such_revision', `no revision ${number} is kept`)
    const { revision, changed } = await this.#revisions.change(
      ({ state, document }) => ({
        // What is fixed until a restart may have changed with one.
        document: withOwn(earlier.document, document),
        state,
        change: { source: 'revision', actor, reason, summary: `back to revision ${number}` },
      }),
      expected,
    )
    return { revision: revision.number, changed, drains: [] }
  }

  async #move(
    source: Source,
    service: string,
    { actor, reason, expected }: By,
    verb: (current: Revision) => Moved | null,
  ): Promise<TrafficResult> {
    const { revision, changed } = await this.#revisions.change(current => {
      const moved = verb(current)
      if (moved === null) return null
      const { document, state, summary } = moved
      return { document, state, change: { source, actor, reason, service, summary } }
    }, expected)
    const drains = revision.state.drains
      .filter(drain => drain.service === service)
      .map(({ version }) => ({ version, ...this.#drains.status(service, version) }))
    return { revision: revision.number, changed, drains }
  }
}
