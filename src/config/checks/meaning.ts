// Warnings about a config that is right in every part, but hardly means what was intended: routes and
// rules that nothing reaches, services that nothing uses, services that share a cookie.
import type { Path } from '../problems.ts'
import type { ConditionConfig, Config } from '../schema.ts'
import type { Context } from './context.ts'

/** To be called for a config without errors only. */
export function checkMeaning(context: Context): void {
  const config = context.config as Config
  checkRoutesReached(context, config)
  checkRulesReached(context, config)
  checkServicesUsed(context, config)
  checkCookiesShared(context, config)
}

const ANYTHING = conditionKey({ methods: [], headers: [], query: [], cookies: [], clientIp: [] })

/** A route is never reached when earlier ones take, on each of its hosts, the same path with no more conditions. */
function checkRoutesReached({ problems }: Context, config: Config): void {
  const takers = new Map<string, Map<string, string>>()
  config.routes.forEach((route, i) => {
    const { hosts, path, ...conditions } = route.match
    const own = conditionKey(conditions)
    const places = (hosts.length === 0 ? ['*'] : hosts).map(host => `${host.toLowerCase()} ${JSON.stringify(path)}`)
    const earlier = places.map(place => takers.get(place)?.get(ANYTHING) ?? takers.get(place)?.get(own))
    if (earlier.every(name => name !== undefined)) {
      const message = `the route "${earlier[0]}" takes every request that this one matches`
      problems.warning('CONFIG_UNREACHABLE', ['routes', i], message, 'Remove it, or make its match more specific.')
    }
    for (const place of places) {
      const keys = takers.get(place) ?? new Map<string, string>()
      if (!keys.has(own)) keys.set(own, route.name)
      takers.set(place, keys)
    }
  })
}

function checkRulesReached({ problems }: Context, config: Config): void {
  config.services.forEach((service, s) => {
    const takers = new Map<string, string>()
    service.traffic.rules.forEach((rule, r) => {
      const own = conditionKey(rule.match)
      const earlier = takers.get(ANYTHING) ?? takers.get(own)
      if (earlier === undefined) {
        takers.set(own, rule.name)
        return
      }
      const path: Path = ['services', s, 'traffic', 'rules', r]
      const message = `the rule "${earlier}" takes every request that this one matches`
      problems.warning('CONFIG_UNREACHABLE', path, message, 'Remove it, or put it first.')
    })
  })
}

function checkServicesUsed({ problems }: Context, config: Config): void {
  const used = new Set(config.routes.map(route => route.service))
  config.services.forEach((service, i) => {
    if (used.has(service.name)) return
    const message = `no route leads to the service "${service.name}"`
    problems.warning('CONFIG_UNUSED', ['services', i, 'name'], message, 'Add a route to it, or remove it.')
  })
}

/** Two services that set the same cookie take it from each other with every answer. */
function checkCookiesShared({ problems }: Context, config: Config): void {
  const owners = new Map<string, string>()
  config.services.forEach((service, i) => {
    const { sticky } = service.traffic
    if (sticky.mode !== 'cookie') return
    const owner = owners.get(sticky.name)
    if (owner === undefined) {
      owners.set(sticky.name, service.name)
      return
    }
    const path: Path = ['services', i, 'traffic', 'sticky', 'name']
    const message = `the service "${owner}" sets a sticky cookie of the same name`
    problems.warning('CONFIG_CONFLICT', path, message, 'Give each service its own.')
  })
}

/** The same text for conditions that mean the same, whatever their order. */
function conditionKey(conditions: ConditionConfig): string {
  const { methods, headers, query, cookies, clientIp } = conditions
  const sorted = (items: readonly unknown[]) => items.map(item => JSON.stringify(item)).toSorted()
  return JSON.stringify([methods, headers, query, cookies, clientIp].map(sorted))
}
