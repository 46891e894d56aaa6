// `turnout diffs`: the report of differences as a table, as it came, and cleared; against an admin API that answers
// what the test says.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import { expect, onTestFinished, test } from 'vitest'
import { AdminClient } from '../src/cli/admin-client.ts'
import { clearDiffs, diffs } from '../src/cli/diffs.ts'
import { Screen, type ScreenStream } from '../src/cli/screen.ts'
import { usageOf } from '../src/cli/usage.ts'
import { turnout } from './support/command.ts'

const NOW = Date.parse('2026-11-21T12:00:00Z')
const ago = (seconds: number) => new Date(NOW - seconds * 1000).toISOString()

type Written = Record<string, unknown>

const absent = { type: 'absent', length: null, hash: null, value: null }
const text = { type: 'string', length: 12, hash: '3f2a91c0b1d2', value: null }
const figure = { type: 'number', length: null, hash: 'a0b1c2d3e4f5', value: null }

function field(path: string, more: Written = {}): Written {
  return {
    path,
    verdict: 'difference',
    compared: 400,
    differing: 41,
    rate: 0.1025,
    interval: [0.0764, 0.1361],
    noise: { paired: 400, shadowOnly: 41, twinOnly: 0, both: 0, rate: 0, p: 0, relative: 100, absolute: 10.25 },
    kinds: { missing: 41 },
    firstSeen: ago(60),
    lastSeen: ago(2),
    samples: [{ time: ago(2), requestId: 'r-1', kind: 'missing', primary: text, shadow: absent }],
    ...more,
  }
}

function mirror(more: Written = {}): Written {
  return {
    version: 'green',
    control: 'twin',
    percent: 100,
    active: true,
    since: ago(72),
    requests: { answered: 1200, timeout: 3, error: 0, method: 40, too_large: 1, queue_full: 12 },
    compared: 1200,
    differing: 63,
    paired: 1200,
    hiddenAsNoise: 0,
    endpoints: [],
    ...more,
  }
}

function endpoint(name: string, fields: Written[] = [], compared = 400): Written {
  return { endpoint: name, compared, differing: 41, rate: 0.1, interval: [0.07, 0.14], paired: 400, fields }
}

/** An admin API that answers this to everything, and keeps what it was asked. */
async function startApi(body: string, type = 'application/json', status = 200) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    // Half a second is added to a date that tells whole seconds.
    response.writeHead(status, { 'content-type': type, date: new Date(NOW - 500).toUTCString() })
    response.end(body)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

class Recorder extends Writable {
  text = ''
  isTTY: boolean
  columns: number

  constructor(columns: number | null) {
    super()
    this.isTTY = columns !== null
    this.columns = columns ?? 0
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
}

/** What is printed of these mirrors; `columns` where it is a terminal. */
async function printed(mirrors: Written[], columns: number | null = null, view: Written = {}): Promise<string[]> {
  const whole = { service: 'shop', noise: 'subtracted', complete: true, missing: [], mirrors }
  const { url } = await startApi(JSON.stringify({ ...whole, ...view }))
  const stream = new Recorder(columns)
  const screen = new Screen(stream as ScreenStream)
  const client = new AdminClient({ url, env: {} })
  expect(await diffs({ client, screen, format: null }, 'shop', { raw: false })).toBe(0)
  return stream.text.trimEnd().split('\n')
}

test('a table of the fields that differ, below what became of the copies', async () => {
  const status = {
    verdict: 'unclear',
    rate: 0.0075,
    interval: [0.00255, 0.0218],
    noise: null,
    kinds: { status: 3 },
    lastSeen: ago(250),
    samples: [],
  }
  const flag = { verdict: 'unclear', rate: 0, interval: [0, 0.0095], kinds: {}, samples: [] }
  const price = {
    rate: 0.5,
    interval: [0.45, 0.55],
    kinds: { type: 12_000, value: 31_000 },
    samples: [
      { time: ago(9), requestId: 'r-1', kind: 'type', primary: figure, shadow: text },
      { time: ago(3), requestId: 'r-2', kind: 'value', primary: figure, shadow: { ...figure, value: '12.5' } },
    ],
  }
  const endpoints = [
    endpoint('GET /items/{id}', [field('body.stock'), field('status', status), field('body.flag', flag)]),
    endpoint('GET /search', [field('body.hits[*].price', price)], 12_345),
    endpoint('GET /cart'),
  ]
  expect(await printed([mirror({ endpoints, hiddenAsNoise: 5 })])).toEqual([
    'shop: shadow green, control twin, 100 % copied, begun 1 m 12 s ago',
    '  copies    1,200 answered, 3 timeout; dropped: 12 queue_full; not copied: 40 method, 1 too_large',
    '  compared  1,200 answers; 5 fields hidden as noise, --raw shows them',
    '',
    '  DIFFERS          95 %  NOISE     LAST SEEN  VERDICT     FIELD',
    '  GET /items/{id}: 400 compared',
    '   10.3 %   7.64–13.6 %    0 %       2 s ago  difference  body.stock',
    '      41 missing; in r-1 primary string of 12 (3f2a91c0b1d2), shadow absent',
    '   0.75 %  0.255–2.18 %      -  4 m 10 s ago  unclear     status',
    '      3 status',
    '      0 %      0–0.95 %    0 %       2 s ago  unclear     body.flag',
    '      only the control differs',
    '',
    '  GET /search: 12,345 compared',
    '     50 %       45–55 %    0 %       2 s ago  difference  body.hits[*].price',
    '      31,000 value, 12,000 type; in r-2 primary number (a0b1c2d3e4f5), shadow 12.5',
    '',
    '  no difference: GET /cart',
  ])
})

test('what is said where there is nothing to tell', async () => {
  expect(await printed([])).toEqual([
    'shop has no mirror, so nothing is compared.',
    'traffic.mirrors of the service in the config copies its requests to a version.',
  ])
  const begun = { compared: 0, differing: 0, paired: 0 }
  expect(await printed([mirror({ ...begun, requests: {}, control: null, percent: 12.5, since: null })])).toEqual([
    'shop: shadow green, no control, 12.5 % copied',
    '  copies    none yet',
    '  compared  nothing yet',
  ])
  const [, , waiting] = await printed([mirror({ ...begun, requests: { answered: 5 } })])
  expect(waiting).toBe('  compared  nothing yet')
  expect(await printed([mirror({ ...begun, requests: { answered: 5 }, control: null })])).toEqual([
    'shop: shadow green, no control, 100 % copied, begun 1 m 12 s ago',
    '  copies    5 answered',
    '  compared  nothing yet; without "compare" in the mirror, answers are only timed',
  ])
  const equal = { compared: 12_345, differing: 0, requests: { answered: 12_345 }, active: false, percent: null }
  expect(await printed([mirror({ ...equal, endpoints: [endpoint('GET /cart')] })])).toEqual([
    'shop: shadow green, control twin, not mirrored any more, begun 1 m 12 s ago',
    '  copies    12,345 answered',
    '  compared  no difference in 12,345 compared answers',
  ])
  const [, , noisy] = await printed([mirror({ ...equal, hiddenAsNoise: 1 })])
  expect(noisy).toBe('  compared  no difference in 12,345 compared answers; 1 field hidden as noise, --raw shows it')
})

test('where no noise is hidden, how many answers differ is told', async () => {
  const [, , compared] = await printed([mirror({ endpoints: [endpoint('GET /cart', [field('body.a')])] })])
  expect(compared).toBe('  compared  1,200 answers, 63 differ')
})

test('several shadows one below the other', async () => {
  const lines = await printed([mirror({ compared: 0 }), mirror({ version: 'red', compared: 0 })])
  expect(lines.filter(line => !line.startsWith('  '))).toEqual([
    'shop: shadow green, control twin, 100 % copied, begun 1 m 12 s ago',
    '',
    'shop: shadow red, control twin, 100 % copied, begun 1 m 12 s ago',
  ])
})

test('on a terminal no line of the table is wider than it; paths lose their middle', async () => {
  const path = `body.${'section.'.repeat(20)}amount`
  const long = { type: 'string', length: 300, hash: 'a0b1c2d3e4f5', value: `"${'x'.repeat(190)}"` }
  const samples = [{ time: ago(1), requestId: 'r-1', kind: 'value', primary: long, shadow: figure }]
  const fields = [field(path, { samples }), field('body.a')]
  const endpoints = [endpoint(`GET /${'long/'.repeat(30)}`, fields), endpoint('GET /cart')]
  const lines = (await printed([mirror({ endpoints })], 100)).map(plain).slice(3)
  expect(lines.filter(line => line.length > 100)).toEqual([])
  expect(lines[2]).toMatch(/^ {2}GET \/long.*….*: 400 compared$/)
  expect(lines[3]).toHaveLength(100)
  expect(lines[3]).toMatch(/ difference {2}body\.section\.\S*…\S*\.amount$/)
  // Both values are seen, however long one of them is.
  expect(lines[4]).toMatch(/^ {6}41 missing; in r-1 primary "x+…x+", shadow number$/)
  expect(lines[4]).toHaveLength(100)
  expect(lines[5]).toMatch(/ difference {2}body\.a$/)
  // Elsewhere nothing is shortened, and nothing painted.
  const whole = await printed([mirror({ endpoints })])
  expect(whole.join('\n')).toContain(path)
  expect(whole.join('\n')).not.toMatch(/[\x1b…]/)
})

test('where a sample does not fit, its hashes go first', async () => {
  const samples = [{ time: ago(1), requestId: 'r-1', kind: 'type', primary: figure, shadow: text }]
  const endpoints = [endpoint('GET /cart', [field('body.a', { samples })])]
  const last = async (columns: number) => plain((await printed([mirror({ endpoints })], columns)).at(-1)!)
  const whole = '      41 missing; in r-1 primary number (a0b1c2d3e4f5), shadow string of 12 (3f2a91c0b1d2)'
  expect(await last(whole.length)).toBe(whole)
  expect(await last(whole.length - 1)).toBe('      41 missing; in r-1 primary number, shadow string of 12')
})

test('where it still does not fit, the request id goes rather than the end of the line', async () => {
  const value = { type: 'string', length: 36, hash: 'a0b1c2d3e4f5', value: null }
  const samples = [{ time: ago(1), requestId: '336990db5c611c34-527', kind: 'value', primary: value, shadow: value }]
  const endpoints = [endpoint('GET /cart', [field('body.a', { samples })])]
  const last = async (columns: number) => plain((await printed([mirror({ endpoints })], columns)).at(-1)!)
  const whole = '      41 missing; in 336990db5c611c34-527 primary string of 36, shadow string of 36'
  expect(await last(whole.length)).toBe(whole)
  expect(await last(80)).toBe('      41 missing; primary string of 36, shadow string of 36')
})

test('a narrow terminal still shows the ends of a path', async () => {
  const endpoints = [endpoint('GET /items/{id}', [field('body.items[*].price.amount')])]
  const lines = (await printed([mirror({ endpoints })], 20)).map(plain)
  expect(lines.find(line => line.includes('difference'))).toMatch(/ {2}body\.ite….amount$/)
})

test('control characters in what a shadow answered do not reach the terminal', async () => {
  const value = '"\x1b]0;owned\x07"'
  const samples = [{ time: ago(1), requestId: '\x1b[2J', kind: 'value', primary: { ...text, value }, shadow: absent }]
  const endpoints = [endpoint('GET /\x1b[31m', [field('body.\x9b1m\r\n', { samples })])]
  const lines = await printed([mirror({ endpoints })])
  expect(lines.join('\n')).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/)
  expect(lines).toContain('      41 missing; in ?[2J primary "?]0;owned?", shadow absent')
})

test('a report in which replicas are missing says so first', async () => {
  const some = await printed([], null, { complete: false, missing: ['edge-1', 'edge-2'] })
  expect(some.slice(0, 2)).toEqual(['This is not all: what edge-1, edge-2 found may be missing.', ''])
  const [line] = await printed([mirror({ endpoints: [] })], null, { complete: false })
  expect(line).toBe('This is not all: what other replicas found may be missing.')
})

test('--json and --jsonl print what the API answered', async () => {
  const json = JSON.stringify({ service: 'shop', noise: 'raw', mirrors: [] })
  const api = await startApi(json)
  const run = (...args: string[]) => turnout(['diffs', 'shop', '--admin', api.url, ...args])
  expect(await run('--json', '--raw')).toEqual({ code: 0, stdout: `${json}\n`, stderr: '' })
  expect(api.asked).toEqual(['GET /v1/services/shop/differences?noise=raw'])
  const jsonl = '{"path":"body.a"}\n{"path":"body.b"}\n'
  const exporting = await startApi(jsonl, 'application/jsonl; charset=utf-8')
  const args = ['diffs', 'shop', '--admin', exporting.url, '--jsonl', '--version', 'green']
  expect(await turnout(args)).toEqual({ code: 0, stdout: jsonl, stderr: '' })
  expect(exporting.asked).toEqual(['GET /v1/services/shop/differences?version=green&format=jsonl'])
  const empty = await startApi('', 'application/jsonl')
  expect(await turnout(['diffs', 'shop', '--admin', empty.url, '--jsonl'])).toEqual({ code: 0, stdout: '', stderr: '' })
})

test('an export that is none is an error', async () => {
  const { url } = await startApi('{"service":"shop"}')
  const { code, stdout, stderr } = await turnout(['diffs', 'shop', '--admin', url, '--jsonl'])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toContain(`${url} answered 200, but not as turnout's admin API does.\n`)
})

test('--clear forgets, all or of one shadow', async () => {
  const { url, asked } = await startApi('{"service":"shop","cleared":3}')
  const stream = new Recorder(null)
  const options = {
    client: new AdminClient({ url, env: {} }),
    screen: new Screen(stream as ScreenStream),
    format: null,
  }
  expect(await clearDiffs(options, 'shop', {})).toBe(0)
  expect(await clearDiffs(options, 'shop', { version: 'green', reason: 'fixed' })).toBe(0)
  expect(stream.text.split('\n')).toEqual([
    'The differences of shop are cleared; comparing begins anew.',
    'The differences of green of shop are cleared; comparing begins anew.',
    '',
  ])
  expect(asked).toEqual([
    'DELETE /v1/services/shop/differences',
    'DELETE /v1/services/shop/differences?version=green&reason=fixed',
  ])
})

test.for([
  [[], 'SERVICE is missing'],
  [['shop', '--json', '--jsonl'], '--json and --jsonl are two formats; choose one'],
  [['shop', '--clear', '--raw'], '--clear prints no differences, so --raw means nothing with it'],
  [['shop', '--clear', '--jsonl'], '--clear prints no differences, so --jsonl means nothing with it'],
  [['shop', '--reason', 'x'], '--reason is for --clear'],
] as const)('%j is a mistake and sends nothing', async ([args, line]) => {
  // Nothing listens there, so a call would be another error.
  const { code, stdout, stderr } = await turnout(['diffs', ...args, '--admin', 'http://127.0.0.1:1'])
  expect(stderr.startsWith(`turnout: diffs: ${line}\n\nUsage: turnout diffs SERVICE `)).toBe(true)
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
})

test('the command is in the list and has a page', async () => {
  expect((await turnout(['help'])).stdout).toContain('\n  diffs SERVICE ')
  expect(usageOf('diffs')).toMatch(/^Usage: turnout diffs SERVICE .*\n\n {2}how the answers of its shadows differ /)
})

/** A line without its colours. */
function plain(line: string): string {
  return line.replaceAll(/\x1b\[\d+m/g, '')
}
