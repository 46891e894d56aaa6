// The image and the Compose file: a Dockerfile whose parts fit each other and the code, services that the Compose
// specification takes, and a config that both replicas can serve.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { DCLinter } from 'dclint'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { parseDuration } from '../src/config/units.ts'
import { configOf, problemsOf } from './config-text.ts'
import { configPath, configText } from './support/manifests.ts'

const root = (name: string) => new URL(`../${name}`, import.meta.url)
const dockerfile = readFileSync(root('Dockerfile'), 'utf8')
const ignored = readFileSync(root('.dockerignore'), 'utf8').trim().split('\n')

/** Instructions of the Dockerfile by stage, lines put together; the last stage is the image. */
const stages = dockerfile
  .replaceAll(/^#.*\n/gm, '')
  .replaceAll(/\\\n\s*/g, '')
  .split(/^(?=FROM )/m)
  .slice(1)
  .map(stage => stage.trim().split('\n').filter(Boolean))
const image = stages.at(-1)!

/** What the linter of Compose files finds. */
type Finding = { rule: string; message: string; line: number }

const instruction = (name: string): string => {
  const found = image.filter(line => line.startsWith(`${name} `))
  if (found.length !== 1) throw new Error(`${found.length} × ${name}`)
  return found[0]!.slice(name.length + 1)
}

describe('Dockerfile', () => {
  test('what it copies is there, and .dockerignore does not keep it out', () => {
    const copied = stages
      .flat()
      .filter(line => line.startsWith('COPY ') && !line.includes('--from='))
      .flatMap(line => line.split(' ').slice(1, -1))
    expect(copied).toContain('src')
    for (const name of copied) {
      expect(existsSync(root(name)), name).toBe(true)
      const parts = name.split('/').map((_, i, all) => all.slice(0, i + 1).join('/'))
      expect(
        ignored.filter(
          pattern => parts.includes(pattern) || (/^\*\./.test(pattern) && name.endsWith(pattern.slice(1))),
        ),
      ).toEqual([])
    }
    // Secrets and what another machine built stay out.
    for (const name of ['.env*', '*.key', '*.pem', '.git', 'node_modules', 'dist', 'state'])
      expect(ignored).toContain(name)
  })

  test('carries what the code reads beside itself: package.json and the configs of the demos', () => {
    const copied = image.filter(line => line.startsWith('COPY ')).join('\n')
    for (const name of readdirSync(root('config')).filter(name => /^demo.*\.yaml$/.test(name))) {
      expect(copied).toContain(`config/${name}`)
    }
    expect(copied).toMatch(/^COPY package\.json \.\/$/m)
    expect(copied).toMatch(/^COPY --from=build \/app\/dist dist$/m)
    expect(copied).toMatch(/^COPY --from=dependencies \/app\/node_modules node_modules$/m)
  })

  test('runs as a user that is a number and not root, which Kubernetes wants to see', () => {
    expect(instruction('USER')).toBe('1000:1000')
    // Nothing after it runs as root again, and the state is the user's.
    expect(image.findIndex(line => line.startsWith('USER'))).toBeGreaterThan(
      image.findLastIndex(line => line.startsWith('RUN')),
    )
    expect(instruction('RUN')).toContain('chown node:node state')
  })

  test('starts without a shell, so that signals reach turnout, and without the inspector', () => {
    expect(JSON.parse(instruction('ENTRYPOINT'))).toEqual(['node', '--disable-sigusr1', '/app/dist/turnout.js'])
    expect(JSON.parse(instruction('CMD'))).toEqual(['run'])
    const [, health] = instruction('HEALTHCHECK').split('CMD ')
    expect(JSON.parse(health!)).toEqual(['node', '--disable-sigusr1', '/app/dist/turnout.js', 'healthcheck'])
  })

  test('has the major of Node that package.json asks for', () => {
    const { engines } = JSON.parse(readFileSync(root('package.json'), 'utf8'))
    expect(dockerfile).toContain(`ARG NODE=node:${engines.node.replace('>=', '')}-slim`)
    expect(stages.map(([from]) => from!.split(' ')[1])).toEqual(['$NODE', '$NODE', '$NODE'])
  })
})

describe('config/compose.yaml', () => {
  // biome-ignore lint/suspicious/noExplicitAny: the specification's schema says what it holds.
  const compose = parse(configText('compose.yaml'), { merge: true }) as Record<string, any>
  const replicas = ['turnout-a', 'turnout-b']
  const env = { TURNOUT_ADMIN_TOKEN: 'f'.repeat(48), TURNOUT_REDIS_PASSWORD: '1234567890' }
  const text = configText('replicas.yaml')

  test('is what the Compose specification takes', () => {
    const off = { 'service-keys-order': 0, 'services-alphabetical-order': 0, 'top-level-properties-order': 0 }
    const rules = {
      ...off,
      'service-ports-alphabetical-order': 0,
      'service-dependencies-alphabetical-order': 0,
      'no-build-and-image': 0,
      'require-quotes-in-ports': [2, { quoteType: 'double' }],
    }
    const linter = new DCLinter({ rules, quiet: false, debug: false, exclude: [] } as never)
    const messages = linter
      .lintFiles([configPath('compose.yaml')], false)
      .flatMap(({ messages }: { messages: Finding[] }) => messages)
    expect(messages.map(({ rule, message, line }: Finding) => `${line}: ${rule} ${message}`)).toEqual([])
  })

  test('publishes to this machine only', () => {
    const ports = Object.values(compose.services).flatMap(service => (service as { ports?: string[] }).ports ?? [])
    expect(ports.length).toBe(6)
    expect(ports.filter(port => !port.startsWith('127.0.0.1:'))).toEqual([])
    expect(new Set(ports.map(port => port.split(':')[1])).size).toBe(6)
  })

  test('serves a config that is valid, from a file that is there', () => {
    // Bound to all addresses of its container; compose publishes the port to this machine only.
    expect(problemsOf(text, env)).toEqual([expect.stringContaining('warning CONFIG_ADMIN_EXPOSED admin.address')])
    for (const name of replicas) {
      expect(compose.services[name].volumes).toContain('./replicas.yaml:/etc/turnout/turnout.yaml:ro')
    }
    for (const service of Object.values(compose.services) as { volumes?: string[] }[]) {
      for (const volume of service.volumes ?? []) {
        const [source] = volume.split(':')
        expect(
          source!.startsWith('./') ? existsSync(configPath(source!)) : Object.keys(compose.volumes).includes(source!),
          volume,
        ).toBe(true)
      }
    }
  })

  test('each replica has a state of its own, every variable its config names, and an admin name it answers to', () => {
    const { admin, services } = configOf(text, env)
    expect(admin.hosts).toEqual(replicas)
    const named = [...new Set(text.match(/(?<=\$\{)\w+(?=\})/g))]
    const states = replicas.map(name => {
      const service = compose.services[name]
      for (const variable of named) expect(service.environment).toHaveProperty(variable)
      return service.volumes.find((volume: string) => volume.endsWith(':/app/state'))
    })
    expect(new Set(states).size).toBe(2)
    const upstreams = services[0]!.versions.map(({ endpoints }) => new URL(endpoints[0]!.url).hostname)
    for (const host of [...upstreams, 'redis']) expect(Object.keys(compose.services)).toContain(host)
    const { prometheus } = compose.services
    expect(prometheus.volumes.map((volume: string) => volume.split(':')[1])).toContain('/etc/prometheus/alerts.yaml')
    const { scrape_configs } = parse(configText('prometheus/prometheus.yaml'))
    expect(scrape_configs[0].static_configs[0].targets).toEqual(replicas.map(name => `${name}:9901`))
  })

  test('Docker waits for a graceful stop, and turnout gets no rights it does not need', () => {
    const { delay, deadline } = configOf(text, env).shutdown
    for (const name of replicas) {
      const service = compose.services[name]
      expect(parseDuration(service.stop_grace_period)).toBeGreaterThanOrEqual(
        parseDuration(delay) + parseDuration(deadline) + 3000,
      )
      expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] })
    }
  })
})
