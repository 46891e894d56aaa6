// One service of a document as it is written: verbs change its weights and header edits there, and leave all else,
// defaults that nobody wrote and `${VAR}` included, as it is. The checked config tells where the service stands.
import type { Json } from '../config/document.ts'
import type { Config, ServiceConfig } from '../config/schema.ts'
import { didYouMean } from '../config/suggest.ts'
import { Refusal } from './errors.ts'
import type { WrittenHeaders } from './traffic-state.ts'

type Mapping = { [key: string]: Json }

export class WrittenService {
  /** The service with every default filled in. */
  readonly config: ServiceConfig
  /** A copy of the document, which the setters change. */
  readonly document: Json
  readonly #service: Mapping

  /** `config` is what the document means. Throws Refusal no_such_service. */
  constructor({ document, config }: { document: Json; config: Config }, name: string) {
    this.config = serviceOf(config, name)
    this.document = structuredClone(document)
    // By place, because the name may be written as a reference to the environment.
    const services = (this.document as Mapping).services as Mapping[]
    this.#service = services[config.services.indexOf(this.config)]!
  }

  /** The weights as they are written; null = none are, so every version has its default. */
  get weights(): Mapping | null {
    const split = childOf(childOf(this.#service, 'traffic'), 'split')
    return childOf(split, 'weights') ?? null
  }

  /** Writes the weights anew; null = none, together with what then is empty around them. */
  set weights(weights: Mapping | null) {
    if (weights !== null) {
      const traffic = childOf(this.#service, 'traffic') ?? addTo(this.#service, 'traffic')
      const split = childOf(traffic, 'split') ?? addTo(traffic, 'split')
      split.weights = weights
      return
    }
    const traffic = childOf(this.#service, 'traffic')
    const split = childOf(traffic, 'split')
    if (traffic === undefined || split === undefined) return
    delete split.weights
    if (Object.keys(split).length === 0) delete traffic.split
    if (Object.keys(traffic).length === 0) delete this.#service.traffic
  }

  /** The header edits of a version as they are written. */
  headers(version: string): WrittenHeaders {
    const { requestHeaders, responseHeaders } = this.#version(version)
    return { request: requestHeaders ?? null, response: responseHeaders ?? null }
  }

  setHeaders(version: string, { request, response }: WrittenHeaders): void {
    const written = this.#version(version)
    put(written, 'requestHeaders', request)
    put(written, 'responseHeaders', response)
  }

  #version(name: string): Mapping {
    const versions = this.#service.versions as Mapping[]
    return versions[this.config.versions.findIndex(version => version.name === name)]!
  }
}

/** The service with this name; throws Refusal no_such_service. */
export function serviceOf({ services }: Config, name: string): ServiceConfig {
  const service = services.find(candidate => candidate.name === name)
  if (service !== undefined) return service
  const names = services.map(candidate => candidate.name)
  throw new Refusal('no_such_service', `no service ${JSON.stringify(name)}. ${knownNames(name, names)}`)
}

/** Throws Refusal no_such_version where the service has none with this name. */
export function checkVersion(service: ServiceConfig, name: string): void {
  const names = service.versions.map(version => version.name)
  if (names.includes(name)) return
  const message = `service "${service.name}" has no version ${JSON.stringify(name)}. ${knownNames(name, names)}`
  throw new Refusal('no_such_version', message)
}

/** The name that was probably meant, else all there are. */
export function knownNames(name: string, names: readonly string[]): string {
  return didYouMean(name, names, `There is ${names.join(', ')}.`)
}

function childOf(mapping: Mapping | undefined, key: string): Mapping | undefined {
  return mapping !== undefined && Object.hasOwn(mapping, key) ? (mapping[key] as Mapping) : undefined
}

function addTo(mapping: Mapping, key: string): Mapping {
  const child: Mapping = {}
  mapping[key] = child
  return child
}

function put(mapping: Mapping, key: string, value: Json | null): void {
  if (value === null) delete mapping[key]
  else mapping[key] = structuredClone(value)
}
