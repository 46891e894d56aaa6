// Secrets in requests, in answers and in what goes wrong with them are nowhere to be found afterwards: not in the
// state, the logs, the metrics, the API, its export, the events or what the command prints.
import { readdirSync, readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { turnout as command } from './support/command.ts'
import { startUpstream } from './support/raw.ts'
import { Api } from './support/release.ts'
import { mirrored, services, settled, total } from './support/shadow.ts'
import { fetchOnce, poll, spawnTurnout } from './support/turnout.ts'
import { ok, request, response } from './support/wire.ts'

/** Everything that must not be found, by what it is. */
const SECRETS: Record<string, string> = {}

/** A secret that no other text has a part of. */
function secret(what: string, text = `Sq7${what.replaceAll(/[^a-z]/g, '')}Xw9`): string {
  SECRETS[what] = text
  return text
}

/** What `reveal` allows: it is found, so the search is one that finds. */
const REVEALED = {
  nickOfPrimary: 'Rv4nickPrimaryOk',
  nickOfShadow: 'Rv4nickShadowOk',
  header: 'Rv4headerOk',
}

type Case = { target: string; primary: string; shadow: string; method?: string; fields?: string[]; body?: string }

const json = (value: unknown, fields: string[] = []) =>
  ok(typeof value === 'string' ? value : JSON.stringify(value), ['Content-Type: application/json', ...fields])

/** An answer with other values than its twin: both sides are secret. */
const both = (of: (side: string) => unknown, fields: (side: string) => string[] = () => []) => ({
  primary: json(of('primary'), fields('primary')),
  shadow: json(of('shadow'), fields('shadow')),
})

/** Path segments that name somebody or open something. */
const PATHS: Record<string, string> = {
  uuid: secret('path uuid', '7e57ab1e-5ec7-4e75-8a5e-c0ffee123456'),
  hex: secret('path hex', '5ec7e75ec7e75ec7e75ec7e75ec7e7aa'),
  token: secret('path token', 'tKn3p4th9Qz8Lm2Vb7Rc5Xd1'),
  mail: secret('path mail', 'pathmail.jane@corp.example'),
  'encoded mail': secret('path encoded mail', 'encodedmail.jane%40corp.example'),
  jwt: secret('path jwt', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJlb2ZqYW5l'),
  card: secret('path card', '4111111111117357'),
  iban: secret('path iban', 'DE89370400440532013000'),
  session: secret('path session', 'cart;jsessionid=9F3A5C7E1B2D4F60'),
  phone: secret('path phone', '+4915112345678'),
}

const keys = {
  mail: secret('key mail', 'keymail.jane@corp.example'),
  token: secret('key token', 'kEy5t0k3nQz8Lm2Vb7Rc5Xd1'),
  name: secret('key name', 'Jane Keyname Doe'),
  uuid: secret('key uuid', '0dd5ec7e-5ec7-4e75-8a5e-c0ffee654321'),
  number: secret('key number', '735712345678'),
}

const CASES: Case[] = [
  // Values and keys of JSON, revealed or not.
  {
    target: '/values',
    ...both(side => ({
      note: secret(`value of ${side}`),
      password: secret(`password of ${side}`),
      card: Number(secret(`number of ${side}`, side === 'primary' ? '4222222222227357' : '4333333333337357')),
      nested: { list: [{ text: secret(`nested value of ${side}`) }] },
      [side]: secret(`value only of ${side}`),
      kind: side === 'primary' ? secret('value of another type') : 5,
      open: 'same',
    })),
  },
  {
    target: '/keys',
    ...both(side => ({
      people: Object.fromEntries(Object.values(keys).map(key => [key, { seen: side }])),
      gone: side === 'primary' ? { [secret('key only of primary', 'onlykey.jane@corp.example')]: 1 } : {},
      many: Object.fromEntries(
        Array.from({ length: 60 }, (_, i) => [i === 7 ? secret('key of many', 'Manykeysecret') : `user${i}`, side]),
      ),
    })),
  },
  {
    target: '/revealed',
    ...both(
      side => ({
        profile: {
          nick: side === 'primary' ? REVEALED.nickOfPrimary : REVEALED.nickOfShadow,
          password: secret(`revealed password of ${side}`),
          apiKey: secret(`revealed key of ${side}`),
          sessionToken: secret(`revealed token of ${side}`),
          ...(side === 'primary'
            ? {
                account: {
                  owner: 'x',
                  iban: secret('iban in a revealed object'),
                  auth: { secret: secret('deep in a revealed object') },
                },
              }
            : {}),
          logins: side === 'primary' ? [{ password: secret('password in a revealed array') }] : [],
        },
      }),
      side => [`X-Open: ${side}-${REVEALED.header}`],
    ),
  },
  {
    target: '/people',
    ...both(side => ({
      people: [
        { email: secret('key field', 'keyfield.jane@corp.example'), pin: secret(`matched of ${side}`) },
        { email: secret(`unmatched of ${side}`, `unmatched.${side}@corp.example`) },
      ],
      set: [secret(`element of ${side}`), 'x'],
    })),
  },
  // Headers of answers, compared or not.
  {
    target: '/headers',
    ...both(
      () => ({}),
      side => [
        `Location: https://shop.example/reset?token=${secret(`location of ${side}`)}`,
        `X-Debug: ${secret(`compared header of ${side}`)}`,
        `X-Other: ${secret(`other header of ${side}`)}`,
        `Set-Cookie: sid=${secret(`set-cookie of ${side}`)}; HttpOnly`,
      ],
    ),
  },
  {
    target: '/type',
    primary: json({ a: secret('json of primary') }),
    shadow: ok(secret('text of shadow'), ['Content-Type: text/html']),
  },
  { target: '/text', primary: ok(secret('plain of primary')), shadow: ok(`${secret('plain of shadow')}, longer`) },
  {
    target: '/media',
    primary: ok('a', [`Content-Type: text/plain; boundary=${secret('type parameter of primary')}`]),
    shadow: ok('b', [`Content-Type: text/html; boundary=${secret('type parameter of shadow')}`]),
  },
  // Requests.
  {
    target: `/requests?token=${secret('query')}&${secret('query name')}`,
    method: 'POST',
    fields: [
      `Authorization: Bearer ${secret('authorization')}`,
      `Proxy-Authorization: Basic ${secret('proxy authorization')}`,
      `Cookie: sid=${secret('cookie')}`,
      `X-Api-Key: ${secret('api key')}`,
      `X-Custom: ${secret('request header')}`,
      `Idempotency-Key: ${secret('idempotency key')}`,
      `Referer: https://shop.example/?t=${secret('referer')}`,
      `X-Latin: caf\u00e9 ${secret('latin header')}`,
    ],
    body: JSON.stringify({ password: secret('request body') }),
    ...both(side => ({ side })),
  },
  ...Object.values(PATHS).map(segment => ({ target: `/paths/${segment}/view`, ...both(side => ({ side })) })),
  {
    target: `/a/b/c/d/e/f/g/h/i/j/k/l/m/n/${secret('path far behind', 'Farbehindsecret')}`,
    ...both(side => ({ side })),
  },
  // What goes wrong: the text of an error must not quote what was sent.
  { target: '/broken-json', primary: json({ a: 1 }), shadow: json(`{"a": ${secret('broken json')}}`) },
  { target: '/broken-primary', primary: json(`${secret('broken primary')} {`), shadow: json({ a: 1 }) },
  {
    target: '/broken-both',
    primary: json(`{"a": 1e999${secret('broken one')}}`),
    shadow: json(`[${secret('broken other')}`),
  },
  {
    target: '/broken-number',
    primary: json('{"a":1}'),
    shadow: json(`{"a":12345678901234567890,"b":${secret('broken number')}}`),
  },
  { target: '/broken-gzip', primary: json({ a: 1 }), shadow: json(secret('broken gzip'), ['Content-Encoding: gzip']) },
  {
    target: '/unknown-coding',
    primary: json({ a: 1 }),
    shadow: json({ a: 2 }, [`Content-Encoding: ${secret('coding')}`]),
  },
  { target: '/garbage', primary: json({ a: 1 }), shadow: `${secret('garbage')} is no HTTP\r\n\r\n` },
  { target: '/bad-status', primary: json({ a: 1 }), shadow: `HTTP/1.1 2x0 ${secret('bad status')}\r\n\r\n` },
  {
    target: '/reason',
    primary: json({ a: 1 }),
    shadow: `HTTP/1.1 500 ${secret('reason')}\r\nContent-Length: 0\r\n\r\n`,
  },
  {
    target: '/bad-header',
    primary: json({ a: 1 }),
    shadow: response(200, [`X-Bad: a\0${secret('bad header')}`, 'Content-Length: 0']),
  },
  {
    target: '/bad-name',
    primary: json({ a: 1 }),
    shadow: response(200, [`X (${secret('bad name')}): a`, 'Content-Length: 0']),
  },
  {
    target: '/bad-length',
    primary: json({ a: 1 }),
    shadow: response(200, [`Content-Length: 1${secret('bad length')}`]),
  },
  {
    target: '/bad-chunk',
    primary: json({ a: 1 }),
    shadow: response(200, ['Transfer-Encoding: chunked'], `5\r\nhello${secret('bad chunk')}\r\n`),
  },
  {
    target: '/big-head',
    primary: json({ a: 1 }),
    shadow: response(200, [`X-Big: ${secret('big head').repeat(8000)}`, 'Content-Length: 0']),
  },
  { target: '/two', primary: json({ a: 1 }), shadow: json({ a: 1 }) + json({ a: secret('second answer') }) },
]

/** The forms in which a text might be kept. */
function forms(text: string): string[] {
  const bytes = Buffer.from(text)
  // Base64 of it wherever it stands in a longer text: what its neighbours have no part of.
  const base64 = [0, 1, 2].map(before => {
    const whole = Buffer.concat([Buffer.alloc(before), bytes.subarray(0, bytes.length - ((bytes.length + before) % 3))])
    return whole.toString('base64').slice(before === 0 ? 0 : 4)
  })
  return [...new Set([text, decodeURIComponent(text), encodeURIComponent(text), bytes.toString('hex'), ...base64])]
}

/** Names of the texts of which some form is in one of the places, each with its place. */
function found(texts: Record<string, string>, places: Record<string, Buffer>): string[] {
  return Object.entries(places).flatMap(([place, bytes]) => {
    // A text may be written in another case than it came.
    const low = bytes.toString('latin1').toLowerCase()
    const isIn = (text: string) =>
      forms(text).some(form => low.includes(Buffer.from(form).toString('latin1').toLowerCase()))
    return Object.keys(texts)
      .filter(what => isIn(texts[what]!))
      .map(what => `${what} in ${place}`)
  })
}

function filesOf(dir: string): Record<string, Buffer> {
  const names = readdirSync(dir, { recursive: true, withFileTypes: true })
  const files = names.filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  return Object.fromEntries(files.map(file => [file.slice(dir.length), readFileSync(file)]))
}

/** Reads a stream of events for as long as the test lasts. */
function listen(url: string): { text: () => string } {
  let text = ''
  const sent = httpRequest(url, { agent: false }, answer => {
    answer.on('data', data => {
      text += data
    })
    answer.on('error', () => {})
  })
  sent.on('error', () => {})
  sent.end()
  onTestFinished(() => void sent.destroy())
  return { text: () => text }
}

test(`none of the planted secrets is found anywhere afterwards`, async () => {
  const pathOf = ({ target }: Case) => target.split('?')[0]!
  const blue = await startUpstream(Object.fromEntries(CASES.map(one => [pathOf(one), one.primary])))
  const green = await startUpstream(Object.fromEntries(CASES.map(one => [pathOf(one), one.shadow])))
  const compare = {
    control: 'blue',
    headers: ['location', 'x-debug', 'x-open'],
    reveal: ['body.profile.**', 'header.x-open', 'header.x-debug-never'],
    arrays: { 'body.people': 'key:email', 'body.set': 'set' },
  }
  const mirror = { to: 'green', methods: ['GET', 'POST'], timeout: '10s', compare }
  const turnout = spawnTurnout(
    services([mirrored('shop', { blue, green }, [mirror])], { log: { level: 'debug', access: 'all' } }),
  )
  const printed: Buffer[] = []
  for (const stream of [turnout.child.stdout!, turnout.child.stderr!]) stream.on('data', data => printed.push(data))
  await turnout.logged('ready')
  const events = listen(`${turnout.adminUrl}/v1/events`)

  // One after the other, so that failures in a row are few enough for the breaker.
  const client = turnout.connect()
  const good = json({ a: 1 })
  blue.scripts['/good'] = good
  green.scripts['/good'] = good
  let sent = 0
  const ask = async (text: string) => {
    const { status } = await client.ask(text)
    expect([text.slice(0, 60), status]).toEqual([text.slice(0, 60), 200])
    sent++
    return settled(turnout, 'green', sent, ({ outcomes }) => outcomes.answered ?? 0)
  }
  for (const { target, method = 'GET', fields = [], body = '' } of CASES) {
    const framing = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]
    await ask(request(method, target, [...fields, ...framing], body))
    await ask(request('GET', '/good'))
  }
  const counts = await settled(turnout, 'green', sent)
  const sure = counts.outcomes.answered!
  expect(counts.outcomes).toEqual({ answered: sure, error: sent - sure })
  expect(sent - sure).toBeGreaterThanOrEqual(6)

  // Everything did travel, and was compared.
  const wire = Buffer.from(green.sides.map(side => side.received).join(''), 'latin1')
  const ofRequests = [
    'authorization',
    'cookie',
    'api key',
    'query',
    'request body',
    'latin header',
    'path mail',
    'path jwt',
  ]
  const travelled = Object.fromEntries(ofRequests.map(what => [what, SECRETS[what]!]))
  expect(found(travelled, { wire })).toEqual(ofRequests.map(what => `${what} in wire`))
  const api = new Api(turnout.adminUrl)
  const raw = await poll(async () => {
    const { mirrors } = await api.must('GET', '/v1/services/shop/differences?noise=raw')
    return mirrors[0].compared === sent ? mirrors[0] : null
  }, 'all pairs in the report')
  const paths = raw.endpoints.flatMap(({ endpoint, fields }: { endpoint: string; fields: { path: string }[] }) =>
    fields.map(({ path }) => `${endpoint} ${path}`),
  )
  expect(paths).toEqual(
    expect.arrayContaining([
      'GET /values body.note',
      'GET /values body.password',
      'GET /values body.card',
      'GET /values body.nested.list[*].text',
      'GET /keys body.people.{*}.seen',
      'GET /keys body.gone.{*}',
      'GET /keys body.many.{*}',
      'GET /revealed body.profile.account',
      'GET /revealed body.profile.nick',
      'GET /revealed header.x-open',
      'GET /people body.people[*]',
      'GET /people body.people[*].pin',
      'GET /headers header.location',
      'GET /headers header.x-debug',
      'GET /broken-json body',
      'GET /garbage answer',
      'GET /paths/{email}/view body.side',
    ]),
  )

  await api.must('PUT', '/v1/services/shop/split', { weights: { blue: 2 }, reason: 'an event' })
  await poll(() => events.text().includes('an event'), 'an event')
  const places: Record<string, Buffer> = {}
  const ask2 = async (path: string) => {
    places[path] = Buffer.from((await fetchOnce(`${turnout.adminUrl}${path}`)).body)
  }
  for (const noise of ['raw', 'subtracted']) {
    for (const format of ['json', 'jsonl']) await ask2(`/v1/services/shop/differences?noise=${noise}&format=${format}`)
  }
  for (const path of ['/metrics', '/v1/audit', '/v1/services', '/v1/services/shop', '/v1/config', '/readyz?verbose']) {
    await ask2(path)
  }
  for (const flags of [[], ['--raw'], ['--json'], ['--jsonl'], ['--raw', '--json'], ['--raw', '--jsonl']]) {
    const { code, stdout, stderr } = await command(['diffs', 'shop', '--admin', turnout.adminUrl, ...flags])
    expect([flags, code, stderr]).toEqual([flags, 0, ''])
    places[`turnout diffs shop ${flags.join(' ')}`] = Buffer.from(stdout)
  }
  for (const [file, bytes] of Object.entries(filesOf(turnout.file.stateDir)))
    places[`state${file} while it runs`] = bytes
  turnout.signal('SIGTERM')
  expect(await turnout.exited).toBe(0)
  for (const [file, bytes] of Object.entries(filesOf(turnout.file.stateDir))) places[`state${file}`] = bytes
  places['/v1/events'] = Buffer.from(events.text())
  // The access log tells the paths of primaries by contract, and nothing of copies.
  const lines = Buffer.concat(printed).toString('latin1').split('\n')
  const isAccess = (line: string) => line.includes('"msg":"request"')
  expect(lines.filter(isAccess)).toHaveLength(sent)
  places.log = Buffer.from(lines.filter(line => !isAccess(line)).join('\n'), 'latin1')
  places['access log'] = Buffer.from(lines.filter(isAccess).join('\n'), 'latin1')
  expect(Object.keys(places).filter(place => !/^state/.test(place) && places[place]!.length === 0)).toEqual([])

  const isOfPath = (hit: string) => hit.startsWith('path ') && hit.endsWith(' in access log')
  expect(found(SECRETS, places).filter(hit => !isOfPath(hit))).toEqual([])
  // The same search finds what may be shown.
  const hits = found(REVEALED, places)
  for (const what of Object.keys(REVEALED)) {
    const where = hits.filter(hit => hit.startsWith(`${what} in `)).join('\n')
    expect(where).toContain('noise=raw&format=json')
    expect(where).toContain('noise=raw&format=jsonl')
    expect(where).toContain(`${what} in state`)
    expect(where).toContain('turnout diffs shop --raw --json')
  }
  const bytes = total(Object.fromEntries(Object.entries(places).map(([place, { length }]) => [place, length])))
  console.log(
    `${Object.keys(SECRETS).length} secrets in ${sent} requests, ${Object.keys(places).length} places with ` +
      `${Math.round(bytes / 1024)} KiB searched, none found; ${hits.length} hits of what is revealed`,
  )
}, 60_000)
