import { describe, expect, test } from 'vitest'
import { GATE, LIVE } from '../src/observe/live.ts'
import { numbers, payload } from './support/bytes.ts'
import { CopyReader } from './support/copies.ts'
import { startPlane } from './support/plane.ts'
import { type RawUpstream, startUpstream, until } from './support/raw.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

/** A plane whose requests blue answers, with green and red as shadows where the test says so. */
async function mirrored(blue: RawUpstream, mirrors: object[], service: object = {}) {
  const shadow = await startUpstream()
  const plane = await startPlane({
    versions: {
      blue: { endpoints: [blue.url], requestHeaders: { set: { 'x-primary': 'yes' }, remove: ['x-drop'] } },
      green: shadow,
      red: shadow,
    },
    service: { traffic: { split: { weights: { blue: 1 } }, mirrors, ...service } },
  })
  const reader = new CopyReader(plane)
  return { plane, reader, client: plane.connect() }
}

const POST = { methods: ['GET', 'POST'] }

describe('a copy', () => {
  test('is the request as it came, forwarded and identified, without the edits of the primary', async () => {
    const blue = await startUpstream()
    const { reader, client } = await mirrored(blue, [{ to: 'green' }])
    client.write(get('/items/7?q=1', ['X-Drop: 1', 'Accept: */*']))
    await client.next()
    const [copy] = reader.copies
    expect(copy).toMatchObject({ shadows: ['green'], isWhole: true, withAnswer: false, aborted: null })
    const lines = copy!.head.split('\r\n')
    expect(lines[0]).toBe('GET /items/7?q=1 HTTP/1.1')
    expect(lines).toContain('X-Drop: 1')
    expect(lines).toContain('Accept: */*')
    expect(lines).toContain('X-Forwarded-For: 127.0.0.1')
    expect(copy!.head).toMatch(/\r\nX-Request-Id: [0-9a-f]+-0\r\n/)
    expect(copy!.head).not.toContain('x-primary')
    expect(copy!.head.endsWith('\r\n\r\n')).toBe(true)
    const seen = blue.requests[0]!
    expect(seen.get('x-primary')).toBe('yes')
    expect(seen.get('x-drop')).toBeUndefined()
    expect(copy!.head).toContain(`X-Request-Id: ${seen.get('x-request-id')}\r\n`)
  })

  test('goes to every mirror that takes it, once', async () => {
    const blue = await startUpstream()
    const { reader, client } = await mirrored(blue, [{ to: 'green' }, { to: 'red', methods: ['HEAD', 'GET'] }])
    client.write(get('/'))
    await client.next()
    expect(reader.copies.map(({ shadows }) => shadows)).toEqual([['green', 'red']])
  })

  test('is not made of a request that the shadow answers itself', async () => {
    const blue = await startUpstream()
    const { reader, client, plane } = await mirrored(blue, [{ to: 'green' }, { to: 'red' }])
    client.write(get('/', ['x-turnout-version: green']))
    await client.next()
    expect(plane.selections('green')).toEqual({ override: 1 })
    expect(reader.copies.map(({ shadows }) => shadows)).toEqual([['red']])
    expect(reader.counted('green')).toEqual({})
  })

  test.each([1, 1000, 200_000])(
    'carries a body of %i bytes, by length and in chunks, however it is split',
    async size => {
      const body = payload(size)
      const blue = await startUpstream({ '/': ok() })
      const { reader, client } = await mirrored(blue, [{ to: 'green', ...POST, bodyBytes: 200_000 }])
      const next = numbers(size)
      await client.dribble(
        Buffer.concat([Buffer.from(request('POST', '/', [`Content-Length: ${size}`])), body]),
        Math.max(50, Math.ceil(size / 5)),
      )
      await client.next()
      const chunks: Buffer[] = []
      for (let at = 0; at < size; ) {
        const piece = body.subarray(at, at + next(50_000))
        chunks.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'))
        at += piece.length
      }
      client.write(Buffer.concat([Buffer.from(request('POST', '/', ['Transfer-Encoding: chunked'])), ...chunks]))
      client.write(chunk(''))
      await client.next()
      const { copies } = reader
      expect(copies.map(copy => copy.body.equals(body))).toEqual([true, true])
      expect(copies.map(copy => [copy.isWhole, copy.aborted])).toEqual([
        [true, null],
        [true, null],
      ])
    },
  )

  test('of a body that turns out larger than the mirror takes is given up', async () => {
    const blue = await startUpstream({ '/': ok() })
    const { reader, client } = await mirrored(blue, [{ to: 'green', ...POST, bodyBytes: 100 }])
    const body = 'x'.repeat(101)
    client.write(request('POST', '/', ['Transfer-Encoding: chunked'], `65\r\n${body}\r\n0\r\n\r\n`))
    await client.next()
    client.write(request('POST', '/', ['Content-Length: 101'], body))
    await client.next()
    expect(reader.copies.map(({ aborted }) => aborted)).toEqual(['too_large'])
    expect(reader.counted('green')).toEqual({ too_large: 1 })
    expect(blue.requests.map(({ text }) => text)).toEqual([body, body])
  })

  test('of a request whose client leaves is given up', async () => {
    const blue = await startUpstream({ '/': ok() })
    const { reader, client } = await mirrored(blue, [{ to: 'green', ...POST }])
    client.write(request('POST', '/', ['Content-Length: 100'], 'begun'))
    await blue.until(() => blue.heads.length === 1, 'the head')
    client.destroy()
    await until(() => (reader.copies[0]?.aborted ?? null) !== null, 'the end of the copy')
    expect(reader.copies.map(({ aborted }) => aborted)).toEqual(['incomplete'])
  })
})

describe('with compare, a copy carries the answer of the primary', () => {
  const compared = { to: 'green', compare: { bodyBytes: '1KiB' } }

  test('as the upstream sent it, without edits of ours', async () => {
    const blue = await startUpstream({ '/': response(201, ['X-Own: 1', 'Content-Length: 5'], 'hello') })
    const { reader, client } = await mirrored(blue, [compared], { versionHeader: 'x-served-version' })
    client.write(get('/'))
    expect((await client.next()).get('x-served-version')).toBe('blue')
    const [copy] = reader.copies
    expect(copy!.answer).toBe('whole')
    expect(copy!.answerHead).toMatch(/^HTTP\/1\.1 201 .*\r\nX-Own: 1\r\nContent-Length: 5\r\n\r\n$/)
    expect(copy!.answerHead).not.toContain('x-served-version')
    expect(copy!.answerBody.toString()).toBe('hello')
  })

  test.each([
    [1024, 'whole'],
    [1025, 'cut'],
    [300_000, 'cut'],
  ])('up to what is compared: %i bytes are %s', async (size, end) => {
    const body = 'y'.repeat(size)
    const blue = await startUpstream({ '/': ok(body) })
    const { reader, client } = await mirrored(blue, [compared])
    client.write(get('/'))
    expect((await client.next()).text).toBe(body)
    const [copy] = reader.copies
    expect([copy!.answer, copy!.answerBody.length, copy!.aborted]).toEqual([end, 1024, null])
  })

  test.each(['HEAD', 'GET'])('also where it has no body (%s, 204)', async method => {
    const blue = await startUpstream({ '/': response(204) })
    const { reader, client } = await mirrored(blue, [compared])
    client.write(request(method, '/'))
    await client.next(method)
    expect(reader.copies).toMatchObject([{ answer: 'whole', aborted: null }])
  })

  test('also where it comes before the request is whole', async () => {
    const blue = await startUpstream({ '/': { atHead: side => side.write(ok('early')) } })
    const { reader, client } = await mirrored(blue, [{ ...compared, ...POST }])
    client.write(request('POST', '/', ['Content-Length: 10'], 'begun'))
    await client.next()
    client.write('going')
    await until(() => reader.copies[0]!.isWhole || reader.copies[0]!.aborted !== null, 'the end of the request')
    expect(reader.copies).toMatchObject([{ answer: 'whole' }])
  })

  test('unless there is none: an upstream that breaks off, an answer of ours, a stream of events', async () => {
    const blue = await startUpstream({
      '/reset': side => side.reset(),
      '/cut': side => {
        side.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')
        side.end()
      },
      '/events': ok('data: 1\n\n', ['Content-Type: text/event-stream']),
    })
    const { reader, plane } = await mirrored(blue, [compared], {})
    for (const path of ['/reset', '/cut', '/events']) {
      const client = plane.connect()
      client.write(get(path))
      if (path === '/cut') await until(() => client.closed, 'the end')
      else await client.next()
    }
    expect(reader.copies.map(({ aborted, isWhole }) => [aborted, isWhole])).toEqual([
      ['incomplete', true],
      ['incomplete', true],
      ['event_stream', true],
    ])
  })
})

test('what is not copied is counted by reason', async () => {
  const blue = await startUpstream({ '/up': ok() })
  const { reader, client, plane } = await mirrored(blue, [
    { to: 'green' },
    { to: 'red', methods: ['POST'], bodyBytes: 10 },
  ])
  client.write(get('/', ['Accept: text/html, text/event-stream']))
  await client.next()
  client.write(get('/up', ['Connection: Upgrade', 'Upgrade: websocket']))
  await client.next()
  client.write(request('POST', '/', ['Content-Length: 11'], 'hello world'))
  await client.next()
  expect(reader.counted('green')).toEqual({ method: 1, event_stream: 1, upgrade: 1 })
  expect(reader.counted('red')).toEqual({ method: 2, too_large: 1 })
  for (const [gate, outcome] of [
    [GATE.queueFull, 'queue_full'],
    [GATE.shadowDown, 'shadow_down'],
  ] as const) {
    const { live } = plane.snapshot.services[0]!.mirrors![0]!
    live.cells[live.at + LIVE.gate] = gate
    client.write(get('/'))
    await client.next()
    expect(reader.counted('green')[outcome]).toBe(1)
  }
  plane.plane.copies.link(null)
  const { live } = plane.snapshot.services[0]!.mirrors![0]!
  live.cells[live.at + LIVE.gate] = GATE.open
  client.write(get('/'))
  await client.next()
  expect(reader.counted('green')).toMatchObject({ stopped: 1 })
  expect(reader.copies).toEqual([])
})

test('with nobody to read them, copies are dropped and counted, and no answer changes', async () => {
  const body = 'z'.repeat(200_000)
  const blue = await startUpstream({ '/': ok(body) })
  const { reader, client } = await mirrored(blue, [{ to: 'green', compare: { bodyBytes: '1MiB' } }])
  let asked = 0
  while (reader.counted('green').queue_full === undefined) {
    client.write(get('/', [`x-large: ${'h'.repeat(10_000)}`]))
    expect((await client.next()).text).toBe(body)
    asked++
  }
  const first = reader.copies
  expect(first.length).toBe(asked - 1)
  // First answers find no room, then heads do not either.
  const whole = first.filter(({ answer }) => answer === 'whole').length
  expect(whole).toBeGreaterThan(10)
  expect(first.map(({ aborted }) => aborted)).toEqual(first.map((_, i) => (i < whole ? null : 'incomplete')))
  client.write(get('/'))
  await client.next()
  expect(reader.copies.at(-1)).toMatchObject({ answer: 'whole', aborted: null })
})

test('a percentage is exact, and spread evenly', async () => {
  const blue = await startUpstream({ '/': ok() })
  const { reader, client } = await mirrored(blue, [{ to: 'green', percent: 12.5 }])
  const taken: number[] = []
  for (let i = 0; i < 80; i++) {
    client.write(get('/', [`x-request-id: ${i}`]))
    await client.next()
    const { copies } = reader
    if (copies.length > taken.length) taken.push(i)
  }
  expect(taken).toEqual([7, 15, 23, 31, 39, 47, 55, 63, 71, 79])
})

test('by user, each is copied always or never, and a request without a key is counted', async () => {
  const blue = await startUpstream({ '/': ok() })
  const split = { weights: { blue: 1 }, by: [{ header: 'x-user' }] }
  const { reader, client } = await mirrored(blue, [{ to: 'green', percent: 30, sample: 'user' }], { split })
  for (let round = 0; round < 3; round++) {
    for (let user = 0; user < 50; user++) {
      client.write(get(`/?u=${user}`, [`x-user: user-${user}`]))
      await client.next()
    }
  }
  client.write(get('/'))
  await client.next()
  const users = reader.copies.map(({ head }) => /u=(\d+)/.exec(head)![1]!)
  const counts = Map.groupBy(users, user => user)
  expect([...counts.values()].map(({ length }) => length)).toEqual([...counts].map(() => 3))
  expect(counts.size).toBeGreaterThan(5)
  expect(counts.size).toBeLessThan(30)
  expect(reader.counted('green')).toEqual({ no_key: 1 })
})
