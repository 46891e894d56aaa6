// The alert rules and the dashboard: promtool takes them, each alert is proven by a story in which it fires and one in
// which it does not, and all they ask for is in what a turnout with mirrors, pins and Redis exposes.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'
import { USAGE } from '../src/cli/usage.ts'
import { configPath, configText } from './support/manifests.ts'
import { exposedIn, namesIn, parseQueries, promtool, recordedBy, unknownIn } from './support/queries.ts'
import { startRedis } from './support/redis.ts'
import { poll, shop, startLocal } from './support/turnout.ts'

type Rule = { record: string; alert?: undefined; expr: string }
type Alert = {
  alert: string
  expr: string
  for: string
  labels: Record<string, string>
  annotations: { summary: string; description: string }
}
const { groups } = parse(configText('prometheus/alerts.yaml')) as { groups: { rules: (Rule | Alert)[] }[] }
const rules = groups.flatMap(group => group.rules)
const alerts = rules.filter(rule => rule.alert !== undefined)
const recorded = rules.filter(rule => rule.alert === undefined)

type Target = { expr: string; legendFormat: string; datasource: { uid: string } }
type Panel = {
  title: string
  type: string
  datasource?: { type: string; uid: string }
  targets?: Target[]
  fieldConfig?: { defaults: { unit?: string } }
  gridPos: { x: number; y: number; w: number; h: number }
}
type Variable = { name: string; type: string; query: string | { query: string }; datasource?: { uid: string } }
const dashboard = JSON.parse(configText('grafana/dashboard.json')) as {
  schemaVersion: number
  uid: string
  panels: Panel[]
  templating: { list: Variable[] }
  annotations: { list: { expr: string; datasource: { uid: string } }[] }
}
const panels = dashboard.panels.filter(({ type }) => type !== 'row')
const targets = panels.flatMap(({ title, targets = [] }) => targets.map(target => ({ title, ...target })))

/** Everything /metrics can expose, from a turnout that has done a bit of each. */
async function scrapeAll() {
  const version = createServer((request, response) => response.end(request.headers.host))
  await new Promise<void>(resolve => version.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    version.closeAllConnections()
    version.close()
  })
  const redis = await startRedis()
  const url = `http://127.0.0.1:${(version.address() as AddressInfo).port}`
  const traffic = {
    split: { weights: { blue: 1 }, by: [{ header: 'x-user-id' }] },
    sticky: { mode: 'store' },
    mirrors: [{ to: 'green', compare: {} }],
  }
  const turnout = await startLocal(
    shop({ blue: { url }, green: { url } }, { traffic }, { workers: 1, redis: { url: redis.url } }),
  )
  expect((await turnout.get('/', { 'x-user-id': 'ann' })).status).toBe(200)
  return poll(async () => {
    const { text } = await turnout.scrape()
    // The answer and the copy's are counted by two threads, each after it was sent.
    const isCounted = ['request', 'mirror'].every(what =>
      new RegExp(`^turnout_${what}_duration_seconds_count\\{.*\\} 1$`, 'm').test(text),
    )
    return isCounted ? exposedIn(text) : null
  }, 'the request and its copy are counted')
}

/** Replaces what Grafana fills in. */
function filledIn(query: string): string {
  return query.replaceAll('$__rate_interval', '5m').replaceAll(/\$(job|instance|service|version)\b/g, '.+')
}

test('alerts and dashboard ask only for what /metrics exposes', async () => {
  const exposed = new Map([...(await scrapeAll()), ...recordedBy(recorded)])
  const queries = [...rules, ...targets, ...dashboard.annotations.list].map(({ expr }) => expr)
  expect(queries.flatMap(query => unknownIn(query, exposed))).toEqual([])
  // All that turnout counts is on the dashboard, but for what feeds its variables and what an alert alone speaks for.
  const asked = new Set(targets.flatMap(({ expr }) => namesIn(expr)))
  const spared = /_(sum|count)$|^turnout_(build_info|config_last_reload_successful)$/
  const ours = [...exposed.keys()].filter(name => /^turnout_/.test(name) && !spared.test(name))
  expect(ours.length).toBeGreaterThan(20)
  expect(ours.filter(name => !asked.has(name))).toEqual([])
  // Labels of legends and texts as well.
  const known = (labels: string[], expr: string) => {
    const its = new Set(['instance', 'job', ...namesIn(expr).flatMap(name => [...(exposed.get(name)?.keys() ?? [])])])
    return labels.filter(label => !its.has(label)).map(label => `${label} of ${expr}`)
  }
  const named = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(match => match[1]!)
  expect(targets.flatMap(({ legendFormat, expr }) => known(named(legendFormat, /\{\{(\w+)\}\}/g), expr))).toEqual([])
  for (const { annotations, expr } of alerts) {
    const text = annotations.summary + annotations.description
    expect(known(named(text, /\$labels\.(\w+)/g), expr)).toEqual([])
  }
  // And the check sees what is not there.
  expect(
    unknownIn('sum by (service, zone) (rate(turnout_requests_total{host="a"}[5m])) > turnout_none', exposed),
  ).toEqual(['metric turnout_none', 'label host of turnout_requests_total', expect.stringContaining('label zone')])
  expect(unknownIn('turnout_pin_lookups_total{outcome=~"late|lost"}', exposed)).toEqual([
    'outcome="lost" of turnout_pin_lookups_total',
  ])
})

describe('alert rules', () => {
  test('promtool takes them, and the config of Prometheus that loads them', async () => {
    expect(await promtool('check', 'config', configPath('prometheus/prometheus.yaml'))).toContain(
      `SUCCESS: ${rules.length} rules found`,
    )
  })

  test('do what their stories say', async () => {
    await promtool('test', 'rules', configPath('prometheus/alerts.test.yaml'))
  })

  test('have a story in which they fire and one in which they do not', () => {
    type Story = { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }
    const { tests } = parse(configText('prometheus/alerts.test.yaml')) as { tests: Story[] }
    const checks = tests.flatMap(story => story.alert_rule_test)
    const names = alerts.map(({ alert }) => alert)
    expect(new Set(names).size).toBe(names.length)
    const told = (fires: boolean) =>
      new Set(checks.filter(check => check.exp_alerts.length > 0 === fires).map(check => check.alertname))
    expect([...told(true)].sort()).toEqual([...names].sort())
    expect([...told(false)].sort()).toEqual([...names].sort())
  })

  test.each(alerts)('$alert waits, says how bad it is and what to do', alert => {
    expect(alert.for).toMatch(/^\d+[sm]$/)
    expect(alert.labels.severity).toMatch(/^(critical|warning)$/)
    const { summary, description } = alert.annotations
    expect(summary.length).toBeGreaterThan(20)
    // What to look with: a command, a call of the API, or a metric.
    const commands = [...description.matchAll(/`turnout ([a-z]+)/g)].map(match => match[1]!)
    expect(
      commands.length + Number(/`(GET|POST) \/v1\//.test(description)) + Number(/log/.test(description)),
    ).toBeGreaterThan(0)
    for (const command of commands) expect(USAGE).toContain(command)
  })
})

describe('dashboard', () => {
  test('promtool parses every query', async () => {
    await parseQueries([...targets, ...dashboard.annotations.list].map(({ expr }) => filledIn(expr)))
  })

  test('every panel has a title, a unit and the data source that is chosen', () => {
    expect(panels.length).toBeGreaterThan(30)
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length)
    for (const { title, datasource, fieldConfig, targets: its = [] } of panels) {
      expect(its.length, title).toBeGreaterThan(0)
      expect(fieldConfig?.defaults.unit, title).toBeTruthy()
      for (const each of [datasource, ...its.map(target => target.datasource)]) {
        expect(each?.uid, title).toBe('${datasource}')
      }
    }
    for (const each of [...dashboard.annotations.list, ...dashboard.templating.list.slice(1)]) {
      expect(each.datasource?.uid).toBe('${datasource}')
    }
  })

  test('every query is of the job that is chosen, and of the service and version where it has them', () => {
    for (const { title, expr } of targets) {
      for (const [, name, matchers] of expr.matchAll(/(turnout_\w+|process_\w+|nodejs_\w+)(\{[^}]*\})?/g)) {
        expect(matchers, `${title}: ${name}`).toContain('job="$job"')
      }
      const used = [...expr.matchAll(/\$(\w+)/g)].map(match => match[1]!)
      const known = ['__rate_interval', ...dashboard.templating.list.map(({ name }) => name)]
      expect(used.filter(name => !known.includes(name))).toEqual([])
    }
    expect(dashboard.templating.list.map(({ name }) => name)).toEqual([
      'datasource',
      'job',
      'instance',
      'service',
      'version',
    ])
  })

  test('panels lie side by side, none on another', () => {
    const cells = new Set<string>()
    for (const { title, gridPos } of dashboard.panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(cells.has(`${x},${y}`), title).toBe(false)
          cells.add(`${x},${y}`)
        }
      }
    }
  })
})
