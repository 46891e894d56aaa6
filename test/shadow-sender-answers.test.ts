import { expect, test } from 'vitest'
import { startUpstream } from './support/raw.ts'
import { startSender } from './support/sender.ts'
import { ok, response } from './support/wire.ts'

const HIGH = Array.from({ length: 128 }, (_, i) => String.fromCharCode(0x80 + i)).join('')

test('an answer is kept with its status, its headers and its body', async () => {
  const fields = ['X-A: 1', `x-a: ${HIGH}`, 'Set-Cookie: a=1; b', 'set-cookie: c', '__proto__: p', 'Constructor: q']
  const upstream = await startUpstream({ '*': response(418, [...fields, 'Content-Length: 128'], HIGH) })
  const answer = await startSender([upstream.url]).ask()
  expect(answer).toMatchObject({ status: 418, text: HIGH, isCut: false })
  expect(answer.headers).toEqual(
    Object.fromEntries([
      ['x-a', `1, ${HIGH}`],
      ['set-cookie', 'a=1; b, c'],
      ['__proto__', 'p'],
      ['constructor', 'q'],
      ['content-length', '128'],
    ]),
  )
})

test('every framing is read, and redirects are not followed', async () => {
  const chunked = response(
    200,
    ['Transfer-Encoding: chunked', 'Trailer: X-T'],
    '3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n',
  )
  const upstream = await startUpstream({
    '/chunked': chunked,
    '/length': ok('abcde'),
    '/close': side => side.write(response(200, [], 'abcde')).end(),
    '/close-said': side => side.write(response(200, ['Connection: close'], 'abcde')).end(),
    '/close-length': side => side.write(response(200, ['Connection: close', 'Content-Length: 5'], 'abcde')).end(),
    '/early-hints': `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 P\r\n\r\n${ok('abcde')}`,
    '/redirect': response(302, ['Location: /length', 'Content-Length: 5'], 'abcde'),
    '/pieces': side => side.dribble(chunked, () => 1),
  })
  const sender = startSender([upstream.url])
  const paths = ['chunked', 'length', 'close', 'close-said', 'close-length', 'early-hints', 'redirect', 'pieces']
  for (const path of paths) {
    const { status, headers, text, isCut } = await sender.ask({ target: `/${path}` })
    expect([path, status, text, isCut]).toEqual([path, path === 'redirect' ? 302 : 200, 'abcde', false])
    expect(headers).not.toHaveProperty('link')
  }
  expect(upstream.requests).toHaveLength(paths.length)
})

test('answers without a body are read to their end', async () => {
  const upstream = await startUpstream({
    '/head': response(200, ['Content-Length: 5']),
    '/204': response(204),
    '/304': response(304, ['ETag: "a"']),
    '/empty': ok(''),
  })
  const sender = startSender([upstream.url])
  const ask = (method: string, target: string) => sender.ask({ method, target })
  expect(await ask('HEAD', '/head')).toMatchObject({ status: 200, text: '', headers: { 'content-length': '5' } })
  expect(await ask('GET', '/204')).toMatchObject({ status: 204, text: '', isCut: false })
  expect(await ask('GET', '/304')).toMatchObject({ status: 304, text: '', headers: { etag: '"a"' } })
  expect(await ask('GET', '/empty')).toMatchObject({ status: 200, text: '', isCut: false })
})

test('a body is kept up to the limit, to the byte, and one that is longer not at all', async () => {
  const long = response(200, ['Connection: close'], 'x'.repeat(11))
  const upstream = await startUpstream({
    '/10': ok('x'.repeat(10)),
    '/11': ok('x'.repeat(11)),
    '/close': side => side.write(long).end(),
    '/dribble': side => side.dribble(ok('x'.repeat(1000)), () => 1),
  })
  const sender = startSender([upstream.url])
  for (const [target, isCut] of [
    ['/10', false],
    ['/11', true],
    ['/close', true],
    ['/dribble', true],
  ] as const) {
    const answer = await sender.ask({ target }, 10)
    expect([target, answer.text, answer.isCut]).toEqual([target, isCut ? '' : 'x'.repeat(10), isCut])
  }
})

test('a long body in small pieces is kept whole', async () => {
  const body = Array.from({ length: 20_000 }, (_, i) => String.fromCharCode(i % 251)).join('')
  const chunks = Array.from(body, byte => `1\r\n${byte}\r\n`).join('')
  const upstream = await startUpstream({ '*': response(200, ['Transfer-Encoding: chunked'], `${chunks}0\r\n\r\n`) })
  const sender = startSender([upstream.url])
  expect((await sender.ask({}, 20_000)).text === body).toBe(true)
  expect(await sender.ask({}, 19_999)).toMatchObject({ text: '', isCut: true })
})

test('an answer nobody wants is read up to 64 KiB, and its connection is used again', async () => {
  const upstream = await startUpstream({
    '/whole': ok('x'.repeat(64 * 1024)),
    '/longer': ok('x'.repeat(64 * 1024 + 1)),
  })
  const sender = startSender([upstream.url])
  for (let i = 0; i < 3; i++) {
    expect(await sender.send({ target: '/whole' })).toMatchObject({ outcome: 'answered', answer: null })
  }
  expect(upstream.sides).toHaveLength(1)
  for (let i = 0; i < 2; i++) {
    expect(await sender.send({ target: '/longer' })).toMatchObject({ outcome: 'answered', answer: null })
    await upstream.until(() => upstream.open === 0, 'the end of the connection')
  }
})

test('the time of an answer is measured', async () => {
  let now = 5
  const upstream = await startUpstream({
    '*': side => {
      now = 47.5
      side.write(ok())
    },
  })
  expect((await startSender([upstream.url], { now: () => now }).send()).ms).toBe(42.5)
})
