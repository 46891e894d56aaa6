import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { reservePort } from './support/ports.ts'
import { RawClient } from './support/raw.ts'
import { COMMAND, fetchOnce, poll } from './support/turnout.ts'
import { get } from './support/wire.ts'

/** How long the demo may take: far above what it needs, so that only a bug exceeds it. */
const PATIENCE_MS = 60_000

/** The demo, as soon as it has printed `until`. */
async function startDemo(flags: string[] = [], until = 'The config is ') {
  const ports = await Promise.all(Array.from({ length: 5 }, () => reservePort()))
  const [port, admin, blue, green, twin] = ports
  const env = {
    TURNOUT_DEMO_PORT: `${port}`,
    TURNOUT_DEMO_ADMIN_PORT: `${admin}`,
    TURNOUT_DEMO_BLUE_PORT: `${blue}`,
    TURNOUT_DEMO_GREEN_PORT: `${green}`,
    ...(flags.includes('--shadow') ? { TURNOUT_DEMO_TWIN_PORT: `${twin}` } : {}),
  }
  const temp = mkdtempSync(join(tmpdir(), 'turnout-test-'))
  onTestFinished(() => rmSync(temp, { recursive: true }))
  const child = spawn(process.execPath, [COMMAND, 'demo', ...flags], {
    env: { ...process.env, ...env, TMPDIR: temp },
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const demo = { child, env, temp, port: port!, admin: admin!, output: '', exited: once(child, 'close') }
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', data => {
      demo.output += data
    })
  }
  await poll(() => demo.output.includes(until) || child.exitCode !== null, until, PATIENCE_MS)
  return demo
}

/** Status and first line of the body of ten requests on one connection. */
async function ask(port: number, fields: string[] = []): Promise<string[]> {
  const client = new RawClient(port)
  onTestFinished(() => client.destroy())
  const lines: string[] = []
  for (let i = 1; i <= 10; i++) {
    const message = await client.ask(get(`/${i}`, fields))
    lines.push(`${message.status} ${message.text.split('\n')[0]}`)
  }
  return lines
}

/** A second demo on the same ports names each of them and how to choose another. */
async function expectPortsNamed(ports: Record<string, string>): Promise<void> {
  const child = spawn(process.execPath, [COMMAND, 'demo'], { env: { ...process.env, ...ports } })
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  child.stdout.on('data', data => {
    output += data
  })
  expect(await once(child, 'close')).toEqual([1, null])
  expect(output.trimEnd().split('\n')).toEqual(
    Object.entries(ports).map(([variable, port]) => {
      expect(Number(port)).toBeGreaterThan(0)
      return expect.stringMatching(new RegExp(`^Port ${port} for .* is taken\\..*${variable}=`))
    }),
  )
}

test(
  'the demo serves two versions, shows three requests that do what it says, keeps its ports, and ends with Ctrl-C',
  async () => {
    const { child, env, output, port, admin, temp, exited } = await startDemo()
    const url = `http://127.0.0.1:${port}`
    for (const command of [
      `curl -s '${url}/[1-10]' | grep answers`,
      `curl -s -H 'x-user-id: ann' '${url}/[1-10]' | grep answers`,
      `curl -s -H 'x-turnout-version: green' ${url}/`,
    ]) {
      expect(output).toContain(command)
    }
    const split = await ask(port)
    expect(split.filter(line => line.startsWith('200 blue answers GET /'))).toHaveLength(9)
    expect(split.filter(line => line.startsWith('200 green answers GET /'))).toHaveLength(1)
    const sticky = await ask(port, ['x-user-id: ann'])
    expect(new Set(sticky.map(line => line.split(' ')[1])).size).toBe(1)
    const override = await fetchOnce(url, { 'x-turnout-version': 'green' })
    expect(override.body).toMatch(/^green answers GET \/\n/)
    expect(override.body).toContain('  x-forwarded-for: 127.0.0.1\n')
    expect(override.headers['x-served-version']).toBe('green')
    const metrics = await fetchOnce(`http://127.0.0.1:${admin}/metrics`)
    expect(metrics.body).toContain('turnout_requests_total{route="shop",service="shop",version="blue",code="200"}')
    // Its state goes with it, so that the next demo begins anew.
    expect(readdirSync(temp)).toEqual([expect.stringMatching(/^turnout-demo-/)])
    await expectPortsNamed(env)
    child.kill('SIGINT')
    expect(await exited).toEqual([0, null])
    expect(readdirSync(temp)).toEqual([])
  },
  2 * PATIENCE_MS,
)

test('the demo of shadows sends traffic, and its report names the three bugs of the candidate', {
  timeout: 2 * PATIENCE_MS,
}, async () => {
  const { child, output, port, admin, temp, exited } = await startDemo(['--shadow'])
  const [welcome, report] = output.split('\nshop: shadow green, control twin, 100 % copied')
  expect(welcome).toContain(`shop: http://127.0.0.1:${port} `)
  expect(report).toMatch(/\n {2}copies {4}950 answered; not copied: 50 method\n {2}compared {2}950 answers; /)
  expect(report).toMatch(/\n {2}GET \/items\/\{id\}: 600 compared\n/)
  const rows = report!.split('\n').filter(line => line.includes(' difference  '))
  expect(rows.map(line => line.split(' ').at(-1))).toEqual(
    expect.arrayContaining(['body.stock', 'body.price', 'status']),
  )
  // What no two answers have in common.
  expect(report).not.toContain('body.traceId')
  expect(report).toContain('hidden as noise, --raw shows them')
  // It goes on serving, and so does the report.
  const item = await fetchOnce(`http://127.0.0.1:${port}/items/10`)
  expect(JSON.parse(item.body)).toMatchObject({ id: 10, price: 7.5, stock: 10 })
  const raw = await fetchOnce(`http://127.0.0.1:${admin}/v1/services/shop/differences?noise=raw`)
  expect(raw.body).toContain('"body.traceId"')
  child.kill('SIGINT')
  expect(await exited).toEqual([0, null])
  expect(readdirSync(temp)).toEqual([])
})

test(
  'the demo of shadows ends at once when it is interrupted while it sends',
  async () => {
    const demo = await startDemo(['--shadow'], 'Sending 1,000 requests')
    demo.child.kill('SIGINT')
    expect(await demo.exited).toEqual([0, null])
    expect(demo.output.trimEnd().split('\n').at(-1)).toMatch(/^and lists in random order: /)
  },
  2 * PATIENCE_MS,
)
