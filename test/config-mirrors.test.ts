// Mirrors in the config: what is taken, and each mistake with its exact position, path, message and fix.
import { describe, expect, it } from 'vitest'
import type { Json } from '../src/config/document.ts'
import { parseConfig, parseDocument } from '../src/config/load.ts'
import { mergePatch } from '../src/config/merge-patch.ts'
import type { MirrorConfig } from '../src/config/schema.ts'
import { configOf, edited, LINES, problemsIn, problemsOf } from './config-text.ts'

/** Two versions and a mirror to green; `lines` begin in line 14, and one later for each line of `traffic`. */
function withMirror(lines: string, traffic = ''): string {
  const mirror = `        - to: green\n${lines.replace(/^/gm, '          ')}`
  return edited({ 10: `${LINES[9]}\n    traffic:\n${traffic}      mirrors:\n${mirror}` })
}

/** A mirror that compares; `lines` begin in line 15. */
const comparing = (lines: string) => withMirror(`compare:\n${lines.replace(/^/gm, '  ')}`)

const AT = 'services[0].traffic.mirrors[0]'

function mirrorOf(lines: string, env: Record<string, string> = {}): MirrorConfig {
  return configOf(withMirror(lines), env).services[0]!.traffic.mirrors[0]!
}

describe('takes', () => {
  it.each([0, 0.001, 0.003, 0.007, 0.1, 12.345, 33.333, 66.667, 99.999, 100])('%s percent', percent => {
    expect(problemsOf(withMirror(`percent: ${percent}`))).toEqual([])
  })

  it('every step of a percentage', () => {
    const refused: number[] = []
    for (let step = 0; step <= 100_000; step += 97) {
      const document = JSON.parse(JSON.stringify(documentWith([{ to: 'green', percent: step / 1000 }])))
      if (!parseDocument(document, { env: {} }).ok) refused.push(step)
    }
    expect(refused).toEqual([])
  })

  it('values from the environment', () => {
    const lines = 'percent: ${P}\nqueue: { items: "${N}", bytes: "${B}" }\nheaders: { set: { x-shadow: "${S}" } }'
    expect(mirrorOf(lines, { P: '12.5', N: '7', B: '1MiB', S: '1' })).toMatchObject({
      percent: 12.5,
      queue: { items: 7, bytes: '1MiB' },
      headers: { set: { 'x-shadow': '1' } },
    })
  })

  it('users, where they have a key', () => {
    const split = '      split: { by: [{ header: x-user-id }] }\n'
    expect(problemsOf(withMirror('sample: user', split))).toEqual([])
  })

  it.each(['[GET]', '[GET, HEAD, OPTIONS, PROPFIND, REPORT, SEARCH, QUERY]'])('the methods %s', methods => {
    expect(problemsOf(withMirror(`methods: ${methods}`))).toEqual([])
  })

  it.each([
    'status',
    'contentType',
    'header.date',
    'header.*',
    'body',
    'body[*]',
    'body.items[*].id',
    'body.**.at',
    '**.etag',
    'body.*.{*}.x',
  ])('the path %s', path => {
    expect(problemsOf(comparing(`ignore: ["${path}"]\nnormalize: { "${path}": lowercase }`))).toEqual([])
  })

  it.each(['isoTime', 'epoch(2s)', 'uuid', 'number(0.001)', 'lowercase'])('the normalizer %s', normalizer => {
    expect(problemsOf(comparing(`normalize: { body.x: ${normalizer} }`))).toEqual([])
  })

  it.each(['ordered', 'set', 'key:id', 'key:a b', 'key::'])('arrays by %s', mode => {
    expect(problemsOf(comparing(`arrays: { body.items: "${mode}", "**": "${mode}" }`))).toEqual([])
  })

  it('headers in any case, secret ones in no list, and what reveals some', () => {
    const lines = 'headers: [Content-Type, x-total]\nreveal: ["header.x-total", "body.items[*].sku", status]'
    expect(problemsOf(comparing(lines))).toEqual([])
  })

  it('the primary itself as the twin, and another deployment of it', () => {
    expect(problemsOf(comparing('control: blue'))).toEqual([])
    const third = edited({
      10: `${LINES[9]}\n      - { name: twin, endpoints: ["http://127.0.0.1:9003"] }\n    traffic: { mirrors: [{ to: green, compare: { control: twin } }] }`,
    })
    expect(problemsOf(third)).toEqual([])
  })

  it('mirrors to several versions, 64 at most', () => {
    const versions = Array.from({ length: 66 }, (_, i) => ({ name: `v${i}`, endpoints: ['http://127.0.0.1:9001'] }))
    const load = (count: number) => {
      const mirrors = Array.from({ length: count }, (_, i) => ({ to: `v${i + 1}` }))
      return problemsIn(parseDocument(documentWith(mirrors, versions), { env: {} }))
    }
    expect(load(64)).toEqual([])
    expect(load(65)).toEqual([
      '1:1: CONFIG_RANGE services[0].traffic.mirrors: the list is too long. Keep at most 64 entries.',
    ])
  })
})

const SPLIT = '      split: { weights: { blue: 0, green: 1 } }\n'
const WRITE = 'Keep it only where copies do no harm: separate data, or writes deduplicated by Idempotency-Key.'
const ROOTS = 'Begin it with status, header, contentType, body or **.'

/** What is said of `text`, as `LINE:COLUMN: CODE path-below-the-mirror: message. fix`. */
function saidOf(text: string): string[] {
  return problemsOf(text).map(problem => problem.replace(`${AT}.`, ''))
}

describe('refuses', () => {
  it.each([
    [
      'a percentage above all',
      withMirror('percent: 101'),
      '14:20: CONFIG_FORMAT percent: 101 is not a percentage. Write a number from 0 to 100, such as 12.5.',
    ],
    [
      'a percentage with a sign',
      withMirror('percent: 12.5%'),
      '14:20: CONFIG_TYPE percent: expected a percentage, found text. Write a number from 0 to 100, such as 12.5.',
    ],
    [
      'a percentage between two steps',
      withMirror('percent: 12.3456'),
      '14:20: CONFIG_RANGE percent: 12.3456 is finer than steps of 0.001. Write 12.346.',
    ],
    [
      'a percentage that would be none',
      withMirror('percent: 1e-10'),
      '14:20: CONFIG_RANGE percent: 1e-10 is finer than steps of 0.001. Write 0.001.',
    ],
    [
      'users without a key',
      withMirror('sample: user'),
      '14:19: CONFIG_CONFLICT sample: users are told apart by their key, and traffic.split.by names no source of it. Name one there, or use sample: request.',
    ],
    [
      'a sample that is none',
      withMirror('sample: users'),
      '14:19: CONFIG_ENUM sample: "users" is not one of the values known here. Did you mean "user"?',
    ],
    [
      'no methods',
      withMirror('methods: []'),
      '14:20: CONFIG_EMPTY methods: the list is empty. Add at least one entry.',
    ],
    [
      'a method in small letters',
      withMirror('methods: [GET, get]'),
      '14:26: CONFIG_METHOD methods[1]: "get" is never sent, since methods are case-sensitive. Write GET.',
    ],
    [
      'all methods in one sign',
      withMirror('methods: ["*"]'),
      '14:21: CONFIG_METHOD methods[0]: "*" stands for no method. Write out each method that may be executed twice, such as [GET, HEAD].',
    ],
    [
      'two methods in one',
      withMirror('methods: ["GET, HEAD"]'),
      '14:21: CONFIG_METHOD methods[0]: "GET, HEAD" is no method. Write one method an entry, such as GET.',
    ],
    [
      'tunnels',
      withMirror('methods: [CONNECT]'),
      '14:21: CONFIG_METHOD methods[0]: "CONNECT" requests are never copied. Remove it.',
    ],
    [
      'traces',
      withMirror('methods: [TRACE]'),
      '14:21: CONFIG_METHOD methods[0]: "TRACE" requests are never copied. Remove it.',
    ],
    [
      'another host',
      withMirror('headers: { set: { Host: a } }'),
      '14:29: CONFIG_HEADER_OWNED headers.set.Host: the header host is not for mirrors to set. A copy keeps the host of its request; mark it with another header.',
    ],
    [
      'the framing',
      withMirror('headers: { set: { content-length: "0" } }'),
      '14:29: CONFIG_HEADER_OWNED headers.set.content-length: the header content-length is not for mirrors to set. It tells where the message ends; only turnout can know that.',
    ],
    [
      'another Idempotency-Key',
      withMirror('headers: { set: { Idempotency-Key: a } }'),
      '14:29: CONFIG_HEADER_OWNED headers.set.Idempotency-Key: the header idempotency-key is not for mirrors to set. turnout sets it to the request id, so that a write can be told from its copy.',
    ],
    [
      'a header name with a blank',
      withMirror('headers: { set: { "x a": a } }'),
      '14:29: CONFIG_HEADER_NAME headers.set["x a"]: "x a" is no header name. Use letters, digits and "-"; no spaces, no colon.',
    ],
    [
      'a header value of two lines',
      withMirror('headers: { set: { x-a: "a\\nb" } }'),
      '14:34: CONFIG_HEADER_VALUE headers.set.x-a: the header value contains a line break or another control character. Write it in one line of plain text.',
    ],
    [
      'a header in two spellings',
      withMirror('headers: { set: { x-a: a, X-A: b } }'),
      '14:37: CONFIG_DUPLICATE_NAME headers.set.X-A: "X-A" and "x-a" are the same header. Keep one of them.',
    ],
    [
      'no time',
      withMirror('timeout: 0s'),
      '14:20: CONFIG_RANGE timeout: "0s" is out of range. Choose from 1ms to 10m.',
    ],
    [
      'a switch in place of settings',
      withMirror('compare: true'),
      '14:20: CONFIG_TYPE compare: expected a mapping of keys, found a boolean. Write it with the keys control, ignore, arrays, normalize, headers, bodyBytes and reveal.',
    ],
    [
      'a twin that is the shadow',
      comparing('control: green'),
      '15:22: CONFIG_CONFLICT compare.control: the shadow is compared with itself, so every difference would be taken for noise. Name the version that answers the clients, or a second deployment of it.',
    ],
    [
      'a twin that is no version',
      comparing('control: bleu'),
      '15:22: CONFIG_REFERENCE compare.control: there is no version "bleu". Did you mean "blue"?',
    ],
    [
      'a path to nowhere',
      comparing('ignore: [body.x, bodi.id]'),
      `15:30: CONFIG_FORMAT compare.ignore[1]: "bodi.id" begins with bodi. ${ROOTS}`,
    ],
    [
      'a path in the way of JSONPath',
      comparing('ignore: ["$.items[0].id"]'),
      `15:22: CONFIG_FORMAT compare.ignore[0]: "$.items[0].id" begins with $. ${ROOTS}`,
    ],
    [
      'a path to one element',
      comparing('ignore: ["body.items[0].id"]'),
      '15:22: CONFIG_FORMAT compare.ignore[0]: "body.items[0].id" names one element of an array. Write [*], which means all of them.',
    ],
    [
      'a header path in capitals',
      comparing('ignore: [header.Date]'),
      '15:22: CONFIG_FORMAT compare.ignore[0]: "header.Date" matches nothing, because paths have header names in small letters. Write "header.date".',
    ],
    [
      'a path of two lines',
      comparing('ignore: ["a\\nb"]'),
      `15:22: CONFIG_FORMAT compare.ignore[0]: "a\\nb" begins with a b. ${ROOTS}`,
    ],
    [
      'a path that YAML takes for an alias',
      comparing('ignore: [**.at]'),
      '15:22: CONFIG_ALIAS compare.ignore[0]: the alias **.at refers to no anchor before it. Put the value in quotes.',
    ],
    [
      'a key that YAML takes for an alias',
      comparing('arrays:\n  **.items: set'),
      '16:23: CONFIG_YAML: an asterisk begins an alias. Put a value or key that begins with one in quotes.',
    ],
    [
      'a path that YAML takes for a list',
      comparing('ignore: [body.items[*].id]'),
      '15:32: CONFIG_YAML: a "[" stands inside a value between brackets. Put the whole value in quotes.',
    ],
    [
      'a way of arrays that YAML takes for a mapping',
      comparing('arrays:\n  body.items: key: id'),
      '16:27: CONFIG_YAML: a mapping or list begins inside a value. Put a text that contains ": " in quotes.',
    ],
    [
      'the same between braces',
      comparing('arrays: { body.items: key: id }'),
      '15:35: CONFIG_YAML: a mapping or list begins inside a value. Put a text that contains ": " in quotes.',
    ],
    [
      'the same in quotes',
      comparing('arrays: { body.items: "key: id" }'),
      '15:35: CONFIG_FORMAT compare.arrays["body.items"]: "key: id" is not a way to compare arrays. Choose ordered, set or key:FIELD, without a blank after the colon.',
    ],
    [
      'arrays where there are none',
      comparing('arrays: { header.x: set }'),
      '15:23: CONFIG_FORMAT compare.arrays["header.x"]: there are no arrays at "header.x". Begin it with body, such as body.items.',
    ],
    [
      'arrays at a path to nowhere',
      comparing('arrays: { items: set }'),
      `15:23: CONFIG_FORMAT compare.arrays.items: "items" begins with items. ${ROOTS}`,
    ],
    [
      'a normalizer that is none',
      comparing('normalize: { body.at: trim }'),
      '15:35: CONFIG_FORMAT compare.normalize["body.at"]: "trim" is no normalizer. Write isoTime, epoch(2s), uuid, number(0.001) or lowercase.',
    ],
    [
      'a normalizer without its tolerance',
      comparing('normalize: { body.at: epoch }'),
      '15:35: CONFIG_FORMAT compare.normalize["body.at"]: "epoch" is no normalizer. Write epoch with how far two times may be apart, as in epoch(2s).',
    ],
    [
      'a normalizer at a path to nowhere',
      comparing('normalize: { at: isoTime }'),
      `15:26: CONFIG_FORMAT compare.normalize.at: "at" begins with at. ${ROOTS}`,
    ],
    [
      'cookies to compare',
      comparing('headers: [Set-Cookie]'),
      '15:23: CONFIG_SECRET compare.headers[0]: "Set-Cookie" holds secrets, so it is never compared. Remove it.',
    ],
    [
      'a header to compare twice',
      comparing('headers: [x-a, X-A]'),
      '15:28: CONFIG_DUPLICATE_NAME compare.headers[1]: "X-A" is in the list already. Remove it.',
    ],
    [
      'a header to compare with a blank',
      comparing('headers: ["x a"]'),
      '15:23: CONFIG_HEADER_NAME compare.headers[0]: "x a" is no header name. Use letters, digits and "-"; no spaces, no colon.',
    ],
    [
      'a secret header to reveal',
      comparing('reveal: [header.authorization]'),
      '15:22: CONFIG_SECRET compare.reveal[0]: "header.authorization" holds secrets, so it is never shown. Remove it.',
    ],
    [
      'what tells of such a header in a body',
      comparing('reveal: ["body.request.Cookie[*]"]'),
      '15:22: CONFIG_SECRET compare.reveal[0]: "body.request.Cookie[*]" holds secrets, so it is never shown. Remove it.',
    ],
    [
      'a path to nowhere to reveal',
      comparing('reveal: [items]'),
      `15:22: CONFIG_FORMAT compare.reveal[0]: "items" begins with items. ${ROOTS}`,
    ],
    [
      'a limit that is too small to compare anything',
      comparing('bodyBytes: 100'),
      '15:24: CONFIG_RANGE compare.bodyBytes: 100 is out of range. Choose from 1KiB to 4MiB.',
    ],
  ])('%s', (_, text, problem) => {
    expect(saidOf(text)).toEqual([problem])
    expect(parseConfig(text, { env: {} }).ok).toBe(false)
  })

  it('a version that is none', () => {
    expect(saidOf(withMirror('percent: 1').replace('to: green', 'to: gren'))).toEqual([
      '13:15: CONFIG_REFERENCE to: there is no version "gren". Did you mean "green"?',
    ])
  })

  it('a second mirror to a version', () => {
    const text = withMirror('percent: 1').replace('routes:', '        - to: green\nroutes:')
    expect(problemsOf(text)).toEqual([
      '15:15: CONFIG_DUPLICATE_NAME services[0].traffic.mirrors[1].to: "green" gets the copies of the mirror in line 13 already. Keep one mirror for each version.',
    ])
  })

  it('mirrors of a service with one version, once', () => {
    const traffic = 'traffic: { mirrors: [{ to: green, compare: { control: yellow } }, { to: blue }] }'
    expect(problemsOf(edited({ 9: `    ${traffic}`, 10: '' }))).toEqual([
      '9:25: CONFIG_CONFLICT services[0].traffic.mirrors: a service with one version has no other to mirror to. Add the version that gets the copies, or remove mirrors.',
    ])
  })

  it('no mirror for what follows from another mistake', () => {
    const text = withMirror(
      'sample: user\nqueue: { bytes: 64 KiB }',
      '      split: { by: [{ heade: x }], weights: { blue: x } }\n',
    )
    expect(saidOf(text).map(problem => problem.split(' ').slice(1, 3).join(' '))).toEqual([
      'CONFIG_UNKNOWN_KEY services[0].traffic.split.by[0].heade:',
      'CONFIG_TYPE services[0].traffic.split.weights.blue:',
      'CONFIG_FORMAT queue.bytes:',
    ])
  })
})

describe('warns of', () => {
  it.each([
    [
      'writes',
      withMirror('methods: [GET, POST, PATCH, POST]'),
      `14:26: warning CONFIG_METHOD methods[1]: every copied POST or PATCH is executed twice. ${WRITE}`,
    ],
    [
      'writes that a twin executes too',
      withMirror('methods: [POST]\ncompare: { control: blue }'),
      `14:21: warning CONFIG_METHOD methods[0]: every copied POST is executed three times, by the shadow and by the control too. ${WRITE}`,
    ],
    [
      'a queue that no large request fits in',
      withMirror('queue: { bytes: 64KiB }'),
      '14:27: warning CONFIG_CONFLICT queue.bytes: the largest copy does not fit, so it would be dropped however short the queue is. Use at least 256KiB, for the longest request body.',
    ],
    [
      'a queue that no large answers fit in',
      withMirror('queue: { bytes: 1MiB }\nbodyBytes: 1MiB\ncompare: { control: blue }'),
      '14:27: warning CONFIG_CONFLICT queue.bytes: the largest copy does not fit, so it would be dropped however short the queue is. Use at least 1792KiB, for the longest request body and 3 answers.',
    ],
    [
      'a comparison of nothing',
      comparing('ignore: ["**"]'),
      '15:22: warning CONFIG_UNUSED compare.ignore[0]: "**" ignores all there is, so nothing is compared. Name the paths that differ by nature, or remove compare.',
    ],
    [
      'values that are all revealed',
      comparing('reveal: ["body.**"]'),
      '15:22: warning CONFIG_SECRET compare.reveal[0]: "body.**" shows whatever differs, personal data too. Name the paths whose values may be shown.',
    ],
    [
      'a shadow that answers everything itself',
      withMirror('percent: 1', SPLIT),
      '14:15: warning CONFIG_UNUSED to: only "green" has a weight, and what it answers itself is not copied to it. Remove the mirror, or give another version a weight.',
    ],
  ])('%s', (_, text, problem) => {
    expect(saidOf(text)).toEqual([problem])
    expect(parseConfig(text, { env: {} }).ok).toBe(true)
  })

  it.each([
    ['a shadow that answers only some', withMirror('percent: 1', SPLIT.replace('blue: 0', 'blue: 1'))],
    [
      'a shadow without weight',
      withMirror('percent: 1', SPLIT.replace('green: 1', 'blue: 1').replace('blue: 0, ', '')),
    ],
    [
      'a shadow that a rule keeps some from',
      withMirror('percent: 1', `${SPLIT}      rules: [{ match: { methods: [PUT] }, version: blue }]\n`),
    ],
    ['a queue that is just large enough', withMirror('queue: { bytes: 1MiB }\ncompare: { control: blue }')],
    ['the largest limits', withMirror('bodyBytes: 16MiB\ncompare: { control: blue, bodyBytes: 4MiB }')],
    ['a comparison of status and headers alone', comparing('ignore: [body]\nheaders: [etag]')],
  ])('nothing in %s', (_, text) => {
    expect(problemsOf(text)).toEqual([])
  })
})

describe('a merge patch', () => {
  const document = documentWith([{ to: 'green', percent: 5, compare: { ignore: ['body.a'] } }])
  const patched = (mirrors: Json) => {
    const patch: Json = { services: [{ ...(document as { services: object[] }).services[0], traffic: { mirrors } }] }
    const loaded = parseDocument(mergePatch(document, patch), { env: {} })
    return loaded.ok ? loaded.config.services[0]!.traffic.mirrors : problemsIn(loaded)
  }

  it('replaces all mirrors by those that it has', () => {
    expect(patched([{ to: 'green' }])).toMatchObject([{ to: 'green', percent: 100 }])
    expect(patched([{ to: 'green' }])).not.toHaveProperty('0.compare')
    expect(patched([])).toEqual([])
    expect(patched([{ percent: 5 }])).toEqual([
      '1:1: CONFIG_MISSING services[0].traffic.mirrors[0].to: the key "to" is missing. Add "to:" here.',
    ])
  })
})

it('keeps the document as written, without what the environment says', () => {
  const loaded = parseConfig(withMirror('headers: { set: { authorization: "${TOKEN}" } }'), {
    env: { TOKEN: 'hunter2' },
  })
  expect(loaded.ok && loaded.config.services[0]!.traffic.mirrors[0]!.headers.set).toEqual({ authorization: 'hunter2' })
  expect(JSON.stringify(loaded.ok && loaded.document)).not.toContain('hunter2')
})

function documentWith(mirrors: Json, versions?: Json): Json {
  const named = ['blue', 'green'].map(name => ({ name, endpoints: ['http://127.0.0.1:9001'] }))
  return {
    listeners: [{}],
    services: [{ name: 'shop', versions: versions ?? named, traffic: { mirrors } }],
    routes: [{ service: 'shop' }],
  }
}
