// Fills in the defaults of the schema, and makes any document config-shaped: where it is wrong, a mapping or
// list of the right shape stands in and a scalar is undefined, so that checks see all the rest of the file.
import type { Json } from './document.ts'
import { type Path, pointerOf } from './problems.ts'
import { type Config, ConfigSchema, type EndpointConfig, type FailoverConfig, type StickyConfig } from './schema.ts'
import { suggest } from './suggest.ts'
import { STATUS_PATTERN } from './units.ts'

/** A config of which any scalar may be missing, because the file got it wrong. */
export type Loose<T> = T extends string | number | boolean
  ? T | undefined
  : T extends readonly (infer Item)[]
    ? Loose<Item>[]
    : { [Key in keyof T]: Loose<T[Key]> }

/** What this file reads of a schema. */
type Schema = {
  type?: string | string[]
  default?: unknown
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  items?: Schema
  duration?: object
  size?: object
  pattern?: string
}

/**
 * The config of a document. `invalid` holds the pointers of scalars that the schema refuses; where it is
 * empty and no required key is missing, the result is a Config.
 */
export function shapeConfig(document: Json, invalid: ReadonlySet<string>): Loose<Config> {
  const config = shape(ConfigSchema as Schema, document, [], invalid) as Loose<Config> & { $schema?: unknown }
  delete config.$schema
  config.listeners.forEach((listener, i) => {
    if (!isGiven(document, ['listeners', i, 'name'])) listener.name = i === 0 ? 'public' : `listener-${i + 1}`
  })
  config.admin.hosts = config.admin.hosts.map(host => host?.toLowerCase().replace(/\.$/, ''))
  config.services.forEach((service, i) => {
    const path: Path = ['services', i, 'traffic']
    const { traffic } = service
    for (const version of service.versions) version.endpoints = version.endpoints.map(endpointOf)
    traffic.rules.forEach((rule, r) => {
      if (!isGiven(document, [...path, 'rules', r, 'name'])) rule.name = `rule-${r + 1}`
    })
    if (!isGiven(document, [...path, 'split', 'salt'])) traffic.split.salt = service.name
    traffic.split.weights = weightsOf(service, isGiven(document, [...path, 'split', 'weights']))
    traffic.failover = failoverOf(traffic.failover, isGiven(document, [...path, 'failover', 'to']))
    traffic.sticky = stickyOf(traffic.sticky, service.name, key => isGiven(document, [...path, 'sticky', key]))
  })
  nameRoutes(config, document)
  return config
}

function shape(schema: Schema, value: Json | undefined, path: Path, invalid: ReadonlySet<string>): unknown {
  if (schema.type === 'array') {
    return Array.isArray(value) ? value.map((item, i) => shape(schema.items!, item, [...path, i], invalid)) : []
  }
  const isMapping = value !== null && typeof value === 'object' && !Array.isArray(value)
  if (schema.type === 'object' || (isMapping && schema.properties !== undefined)) {
    return shapeMapping(schema, isMapping ? value : {}, path, invalid)
  }
  if (value === undefined || value === null || typeof value === 'object' || invalid.has(pointerOf(path)))
    return undefined
  // One way to write them down, so that whoever reads them needs to know only text.
  return schema.duration !== undefined || schema.size !== undefined || schema.pattern === STATUS_PATTERN
    ? String(value)
    : value
}

function shapeMapping(
  schema: Schema,
  value: { [key: string]: Json },
  path: Path,
  invalid: ReadonlySet<string>,
): unknown {
  const shaped: Record<string, unknown> = {}
  if (schema.properties === undefined) {
    const item = schema.additionalProperties as Schema
    for (const key of Object.keys(value)) shaped[key] = shape(item, value[key], [...path, key], invalid)
    return shaped
  }
  const misspelt = misspeltKeys(schema.properties, value)
  for (const [key, property] of Object.entries(schema.properties)) {
    const at = [...path, key]
    if (Object.hasOwn(value, key)) shaped[key] = shape(property, value[key], at, invalid)
    else if (misspelt.has(key)) shaped[key] = shape(property, undefined, at, NONE)
    else if (property.default !== undefined) shaped[key] = shape(property, property.default as Json, at, NONE)
    else if (schema.required?.includes(key) === true) shaped[key] = shape(property, undefined, at, NONE)
  }
  return shaped
}

const NONE: ReadonlySet<string> = new Set()

/** The keys that unknown ones were probably meant to be: they have a value, not the default, but it is not known. */
function misspeltKeys(properties: Record<string, Schema>, value: { [key: string]: Json }): ReadonlySet<string> {
  const unknown = Object.keys(value).filter(key => !Object.hasOwn(properties, key))
  if (unknown.length === 0) return NONE
  const known = Object.keys(properties)
  return new Set(unknown.map(key => suggest(key, known)).filter(key => key !== null))
}

/** True when the document has a value at the path, right or wrong. */
function isGiven(document: Json, path: Path): boolean {
  let value: Json | undefined = document
  for (const step of path) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, step)) return false
    value = (value as Record<string | number, Json>)[step]
  }
  return true
}

function endpointOf(written: unknown): Loose<EndpointConfig> {
  if (typeof written === 'string') return { url: withoutSlash(written), weight: 1 }
  const { url, weight } = (written ?? {}) as Loose<EndpointConfig>
  return { url: url === undefined ? undefined : withoutSlash(url), weight }
}

/** `http://host/` and `http://host` are the same endpoint. */
function withoutSlash(url: string): string {
  return /^https?:\/\/[^/]+\/$/i.test(url) ? url.slice(0, -1) : url
}

/** A weight for every version: as written and else 0, or 1 for all where no weights are written. */
function weightsOf(
  service: Loose<Config['services'][number]>,
  areWritten: boolean,
): Record<string, number | undefined> {
  const written = service.traffic.split.weights ?? {}
  const weights: Record<string, number | undefined> = {}
  for (const version of service.versions) if (version.name !== undefined) weights[version.name] = areWritten ? 0 : 1
  return Object.assign(weights, written)
}

/** The keys that its mode has; `isWritten` says which of them the document has. */
function stickyOf(
  sticky: Loose<StickyConfig>,
  service: string | undefined,
  isWritten: (key: string) => boolean,
): Loose<StickyConfig> {
  if (sticky.mode === 'store') return { mode: 'store', ttl: isWritten('ttl') ? sticky.ttl : '24h' }
  if (sticky.mode !== 'cookie') return { mode: sticky.mode }
  if (isWritten('name') || service === undefined) return sticky
  return { ...sticky, name: `turnout-${service}` }
}

/** `to` stands alone; a mode that is written beside it is reported by the checks. */
function failoverOf(failover: Loose<FailoverConfig>, hasTo: boolean): Loose<FailoverConfig> {
  return hasTo && 'to' in failover ? { to: failover.to } : failover
}

/** A route without a name has its service's, or that and its position where another route has it. */
function nameRoutes(config: Loose<Config>, document: Json): void {
  const isNamed = (i: number) => isGiven(document, ['routes', i, 'name'])
  const taken = new Set(config.routes.filter((_, i) => isNamed(i)).map(route => route.name))
  config.routes.forEach((route, i) => {
    if (isNamed(i) || route.service === undefined) return
    route.name = taken.has(route.service) ? `${route.service}-${i + 1}` : route.service
    taken.add(route.name)
  })
}
