import { expect, test } from 'vitest'
import { startBlackHole } from './support/black-hole.ts'
import { startNobody } from './support/ports.ts'
import { startUpstream, turn, type UpstreamSide } from './support/raw.ts'
import { startSender } from './support/sender.ts'
import { ok, response } from './support/wire.ts'

const LIMITS = { keepBytes: 1024 }
const FIELD = `X-Large: ${'x'.repeat(1000)}`

/** Writes until the connection ends. */
function flood(side: UpstreamSide, start: string, piece: string): void {
  side.write(start)
  const more = () => {
    while (!side.socket.destroyed && side.socket.write(piece)) {}
  }
  side.socket.on('drain', more)
  more()
}

/** Resets the connection when what was written has been read. */
function resetAfter(side: UpstreamSide, text: string): void {
  side.socket.write(text, async () => {
    for (let i = 0; i < 3; i++) await turn()
    side.reset()
  })
}

test('a shadow that accepts and never answers costs the time-out and a connection', async () => {
  const upstream = await startUpstream({ '*': () => {} })
  const sender = startSender([upstream.url])
  const sent = await sender.send({}, { timeoutMs: 30, ...LIMITS })
  expect(sent).toMatchObject({ outcome: 'timeout', answer: null })
  expect(sent.ms).toBeGreaterThanOrEqual(29)
  expect(sender.sender.inFlight).toBe(0)
  await upstream.until(() => upstream.open === 0, 'the end of the connection')
})

test('a shadow that does not accept costs the shorter of the two time-outs', async () => {
  const { url } = await startBlackHole()
  const [impatient, patient] = [startSender([url], { connectMs: 20 }), startSender([url])]
  expect((await impatient.send({}, LIMITS)).outcome).toBe('timeout')
  expect((await patient.send({}, { timeoutMs: 20, ...LIMITS })).outcome).toBe('timeout')
  expect(patient.sender.inFlight).toBe(0)
})

test('a shadow that refuses connections is an error', async () => {
  const { url } = await startNobody()
  expect(await startSender([url]).send({}, LIMITS)).toMatchObject({ outcome: 'error', answer: null })
})

test('an answer that breaks off is an error, wherever it does', async () => {
  const parts = {
    '/nothing': '',
    '/head': 'HTTP/1.1 200 OK\r\nContent-Len',
    '/length': response(200, ['Content-Length: 10'], 'abc'),
    '/chunked': response(200, ['Transfer-Encoding: chunked'], '3\r\nabc\r\n'),
    '/hints': 'HTTP/1.1 103 Early Hints\r\n\r\n',
  }
  const upstream = await startUpstream({
    '*': (side, { target }) => {
      const text = parts[target.split('?')[0] as keyof typeof parts]
      if (target.endsWith('fin')) side.write(text).end()
      else resetAfter(side, text)
    },
    // A body that ends with its connection is only whole when that was closed.
    '/close': side => resetAfter(side, response(200, [], 'abc')),
  })
  for (const path of [...Object.keys(parts).flatMap(part => [`${part}?fin`, `${part}?reset`]), '/close']) {
    for (const keepBytes of [0, 1024]) {
      const { outcome } = await startSender([upstream.url]).send({ target: path }, { keepBytes })
      expect([path, keepBytes, outcome]).toEqual([path, keepBytes, 'error'])
    }
  }
})

test('an answer that trickles costs the time-out', async () => {
  const drip = (side: UpstreamSide, text: string) => {
    const clock = setInterval(() => side.socket.write(text), 5)
    side.socket.on('close', () => clearInterval(clock))
  }
  const upstream = await startUpstream({
    '/body': side => drip(side.write(response(200, ['Content-Length: 1000000'])), 'x'),
    '/head': side => drip(side.write('HTTP/1.1 200 OK\r\n'), 'A: b\r\n'),
    '/reason': side => drip(side.write('HTTP/1.1 200 '), 'x'),
    '/hints': side => drip(side, 'HTTP/1.1 103 Early Hints\r\n\r\n'),
    '/trailers': side => drip(side.write(response(200, ['Transfer-Encoding: chunked'], '0\r\n')), 'A: b\r\n'),
    '/extension': side => drip(side.write(response(200, ['Transfer-Encoding: chunked'], '1;')), 'x'),
  })
  const targets = ['/body', '/head', '/reason', '/hints', '/trailers', '/extension']
  // One each, because five failures would open the breaker.
  const all = targets.map(target => startSender([upstream.url]).send({ target }, { timeoutMs: 60, ...LIMITS }))
  expect((await Promise.all(all)).map(({ outcome }) => outcome)).toEqual(targets.map(() => 'timeout'))
  await upstream.until(() => upstream.open === 0, 'the end of the connections')
})

test('an endless body is cut', async () => {
  const piece = 'x'.repeat(64 * 1024)
  const upstream = await startUpstream({
    '/length': side => flood(side, response(200, ['Content-Length: 10000000000']), piece),
    '/chunked': side => flood(side, response(200, ['Transfer-Encoding: chunked']), `10000\r\n${piece}\r\n`),
    '/close': side => flood(side, response(200), piece),
  })
  const sender = startSender([upstream.url])
  for (const target of ['/length', '/chunked', '/close']) {
    expect(await sender.ask({ target }, 100_000)).toMatchObject({ status: 200, text: '', isCut: true })
    expect(await sender.send({ target })).toMatchObject({ outcome: 'answered', answer: null })
    await upstream.until(() => upstream.open === 0, 'the end of the connections')
  }
})

test('what has no end outside of the body is an error', async () => {
  const upstream = await startUpstream({
    '/fields': side => flood(side, 'HTTP/1.1 200 OK\r\n', `${FIELD}\r\n`),
    '/field': side => flood(side, 'HTTP/1.1 200 OK\r\nX-Large: ', FIELD),
    '/name': side => flood(side, 'HTTP/1.1 200 OK\r\n', 'x'.repeat(1000)),
    '/trailers': side => flood(side, response(200, ['Transfer-Encoding: chunked'], '0\r\n'), `${FIELD}\r\n`),
    '/empty': side => flood(side, 'HTTP/1.1 200 OK\r\n', 'a:\r\n'.repeat(1000)),
    '/empty-trailers': side =>
      flood(side, response(200, ['Transfer-Encoding: chunked'], '0\r\n'), 'a:\r\n'.repeat(1000)),
    '/extension': side => flood(side, response(200, ['Transfer-Encoding: chunked'], '1;'), 'x'.repeat(1000)),
    '/hints': side => flood(side, '', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)),
    '/large': response(200, [...Array.from({ length: 60 }, () => FIELD), 'Content-Length: 2'], 'ok'),
  })
  for (const target of Object.keys(upstream.scripts).filter(path => path !== '/large')) {
    expect([target, (await startSender([upstream.url]).send({ target }, LIMITS)).outcome]).toEqual([target, 'error'])
  }
  expect((await startSender([upstream.url]).ask({ target: '/large' })).text).toBe('ok')
})

test('what is not HTTP/1.1 is an error', async () => {
  const upstream = await startUpstream()
  const answers = {
    garbage: 'SSH-2.0-OpenSSH_9.2\r\n',
    zeros: Buffer.alloc(100_000),
    'another protocol': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'a bad status': 'HTTP/1.1 2xx OK\r\n\r\n',
    'two lengths': response(200, ['Content-Length: 2', 'Content-Length: 3'], 'okk'),
    'length and chunked': response(200, ['Content-Length: 2', 'Transfer-Encoding: chunked'], '2\r\nok\r\n0\r\n\r\n'),
    'a bad chunk': response(200, ['Transfer-Encoding: chunked'], 'zz\r\nok\r\n'),
    'a protocol nobody asked for': response(101, ['Connection: Upgrade', 'Upgrade: websocket']),
    'a nameless field': 'HTTP/1.1 200 OK\r\n: x\r\n\r\n',
  }
  for (const [what, answer] of Object.entries(answers)) {
    upstream.scripts['*'] = answer
    const { outcome } = await startSender([upstream.url]).send({}, LIMITS)
    expect([what, outcome]).toEqual([what, 'error'])
  }
})

test('a second answer to one request is not taken for the answer to the next', async () => {
  const upstream = await startUpstream({ '/twice': ok('first') + ok('second'), '/next': ok('third') })
  const sender = startSender([upstream.url])
  for (let i = 0; i < 3; i++) {
    expect((await sender.ask({ target: '/twice' })).text).toBe('first')
    expect((await sender.ask({ target: '/next' })).text).toBe('third')
  }
})

test('a copy that cannot be sent is an error, but not one of the shadow', async () => {
  const upstream = await startUpstream()
  const sender = startSender([upstream.url])
  await sender.ask()
  const wrong = [
    { target: '*', method: 'OPTIONS' },
    { target: '/a b' },
    { target: '' },
    { method: 'A B' },
    { method: 'CONNECT' },
    { headers: ['X', 'a\r\nb: c'] },
    { headers: ['X', '\u0100'] },
    { headers: ['X Y', 'a'] },
    { headers: ['Host', 'a', 'host', 'b'] },
  ]
  for (const one of wrong) {
    expect([one, await sender.send(one, LIMITS)]).toMatchObject([one, { outcome: 'error', answer: null }])
  }
  expect(sender.sender.isDown).toBe(false)
  await sender.ask()
  expect([upstream.requests.length, upstream.sides.length]).toEqual([2, 1])
})

test('after five failures in a row nothing is sent until a trial is due', async () => {
  let now = 0
  let isUp = false
  const upstream = await startUpstream({ '*': side => (isUp ? side.write(ok()) : side.end()) })
  const sender = startSender([upstream.url], { now: () => now })
  for (let i = 0; i < 5; i++) expect((await sender.send()).outcome).toBe('error')
  expect(sender.sender.isDown).toBe(true)
  for (let i = 0; i < 5; i++) expect(await sender.send()).toEqual({ outcome: 'shadow_down', answer: null, ms: 0 })
  now = 5_000
  expect(sender.sender.isDown).toBe(false)
  const both = await Promise.all([sender.send(), sender.send()])
  expect(both.map(({ outcome }) => outcome)).toEqual(['error', 'shadow_down'])
  now = 14_999
  expect(sender.sender.isDown).toBe(true)
  now = 15_000
  isUp = true
  expect((await sender.send()).outcome).toBe('answered')
  expect((await sender.send()).outcome).toBe('answered')
  expect(upstream.requests).toHaveLength(8)
})

test('an error status is an answer', async () => {
  const upstream = await startUpstream({ '*': response(503, ['Content-Length: 0']) })
  const sender = startSender([upstream.url])
  for (let i = 0; i < 10; i++) expect((await sender.ask()).status).toBe(503)
})
