import { describe, expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { startUpstream } from './support/raw.ts'
import { get, ok, request } from './support/wire.ts'

test('unknown and repeated fields pass untouched and in order', async () => {
  const fields = [
    'Host: Shop.Test:81',
    'x-LoWeR: Kept',
    'Accept: a',
    'Cookie: a=1; b=2',
    'ACCEPT: b, c',
    'Cookie: c=3',
    'Authorization: Bearer a.b',
    'X-Empty:',
    'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'tracestate: a=b,c=d',
    'baggage: k=v',
    'X-Latin: caf\xe9',
    'x_under_score: kept',
  ]
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  await plane.connect().ask(get('/', fields))
  const [head] = upstream.heads
  expect(head!.fields.slice(0, fields.length)).toEqual(fields.map(line => line.split(/:[ ]?(.*)/s).slice(0, 2)))
  expect(head!.names.slice(fields.length).sort()).toEqual([
    'via',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-forwarded-proto',
    'x-request-id',
  ])
})

test('hop-by-hop fields and those that Connection names are removed, before our own are added', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  await client.ask(
    get('/', [
      'Connection: X-Secret, keep-alive,x-other , X-Forwarded-For, Via, x-request-id',
      'connection: x-third',
      'X-Secret: 1',
      'x-secret: 2',
      'X-OTHER: 1',
      'X-Third: 1',
      'X-Fourth: 1',
      'Keep-Alive: timeout=5',
      'Proxy-Connection: keep-alive',
      'TE: gzip;q=0.5',
      'Upgrade: h2c',
      'X-Request-Id: mine',
    ]),
  )
  const [head] = upstream.heads
  expect(head!.names.sort()).toEqual([
    'host',
    'via',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-forwarded-proto',
    'x-fourth',
    'x-request-id',
  ])
  expect(head!.get('x-forwarded-for')).toBe('127.0.0.1')
  expect(head!.get('via')).toBe('1.1 turnout')
})

test('Connection cannot have Host or the framing removed', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const connection = 'Connection: host, content-length, transfer-encoding'
  await client.ask(request('POST', '/a', [connection, 'Content-Length: 4'], 'body'))
  await client.ask(request('POST', '/b', [connection, 'Transfer-Encoding: chunked'], '4\r\nbody\r\n0\r\n\r\n'))
  for (const { text, all } of upstream.requests)
    expect([text, all.call(upstream.requests[0], 'host')]).toEqual(['body', ['shop.test']])
  expect(upstream.requests.map(({ target }) => target)).toEqual(['/a', '/b'])
})

test('TE: trailers is passed on as what the next hop may do, other codings are not', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  for (const te of ['trailers', 'gzip, Trailers', 'deflate'])
    await client.ask(get('/', [`TE: ${te}`, 'Connection: TE']))
  expect(upstream.heads.map(head => [head.get('te'), head.get('connection')])).toEqual([
    ['trailers', 'TE'],
    ['trailers', 'TE'],
    [undefined, undefined],
  ])
})

describe('the request id', () => {
  test('of the client is kept when it is usable', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    for (const id of ['a', 'c0ffee-1:2/3', 'x'.repeat(200)]) {
      await client.ask(get('/', [`x-request-ID: ${id}`]))
      expect(upstream.heads.at(-1)!.get('x-request-id')).toBe(id)
    }
  })

  test('is made where it is missing, and replaced where it is unusable', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    const sent = [
      [],
      [],
      ['X-Request-Id:'],
      ['X-Request-Id: two words'],
      ['X-Request-Id: caf\xe9'],
      [`X-Request-Id: ${'x'.repeat(201)}`],
      ['X-Request-Id: a', 'X-Request-Id: b'],
    ]
    for (const fields of sent) await client.ask(get('/', fields))
    const ids = upstream.heads.map(head => head.get('x-request-id'))
    for (const id of ids) expect(id).toMatch(/^[\x21-\x7e]{8,200}$/)
    expect(new Set(ids).size).toBe(sent.length)
  })
})

test('request headers of a version are set and removed, and the versions do not mix', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({
    versions: {
      blue: {
        endpoints: [upstream.url],
        requestHeaders: { set: { 'x-dual-write': 'off', 'User-Agent': 'blue' }, remove: ['Cookie', 'x-internal'] },
      },
      green: { endpoints: [upstream.url], requestHeaders: { set: { 'X-Dual-Write': 'on' } } },
    },
  })
  const client = plane.connect()
  const sent = ['User-Agent: curl', 'X-DUAL-write: client', 'cookie: a=b', 'COOKIE: c=d', 'X-Internal: 1', 'X-Any: 1']
  await client.ask(get('/', ['x-turnout-version: blue', ...sent]))
  await client.ask(get('/', ['x-turnout-version: green', ...sent]))
  const [blue, green] = upstream.heads
  expect([blue!.all('x-dual-write'), blue!.all('user-agent')]).toEqual([['off'], ['blue']])
  expect([blue!.all('cookie'), blue!.all('x-internal'), blue!.all('x-any')]).toEqual([[], [], ['1']])
  expect([green!.all('x-dual-write'), green!.all('user-agent'), green!.all('cookie')]).toEqual([
    ['on'],
    ['curl'],
    ['a=b', 'c=d'],
  ])
})

describe('the target', () => {
  test('is forwarded in the form that was matched: normalised path, query as it came', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    const forms = {
      '/a?b=c&d=%2e/../e?f': '/a?b=c&d=%2e/../e?f',
      '/a?': '/a?',
      '/a/./b/../c': '/a/c',
      '/../../etc': '/etc',
      '/%7euser/%41%2d': '/~user/A-',
      '/a%2fb%2F..%2f': '/a%2Fb%2F..%2F',
      '/a/%2e%2E/b/%2e': '/b/',
      '/%c3%a9': '/%C3%A9',
      '//a//b/': '//a//b/',
      '/a.b/.../.c': '/a.b/.../.c',
      "/!$&'()*+,;=:@|^": "/!$&'()*+,;=:@|^",
    }
    for (const [sent, forwarded] of Object.entries(forms)) {
      expect((await client.ask(get(sent))).text).toBe(`GET ${forwarded}`)
    }
  })

  test('in absolute-form is forwarded in origin-form, and its authority replaces Host', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    await client.ask(get('http://B.test:81/x/../y?z', ['Host: shop.test']))
    await client.ask(get('HTTPS://b.test', ['Host: shop.test']))
    await client.ask(get('http://b.test?q', ['Host: shop.test']))
    await client.ask(request('OPTIONS', 'http://b.test', ['Host: shop.test']))
    await client.ask('GET http://b.test/old HTTP/1.0\r\n\r\n')
    expect(upstream.heads.map(head => [head.start, head.all('host'), head.get('x-forwarded-host')])).toEqual([
      ['GET /y?z HTTP/1.1', ['B.test:81'], 'B.test:81'],
      ['GET / HTTP/1.1', ['b.test'], 'b.test'],
      ['GET /?q HTTP/1.1', ['b.test'], 'b.test'],
      ['OPTIONS * HTTP/1.1', ['b.test'], 'b.test'],
      ['GET /old HTTP/1.1', ['b.test'], 'b.test'],
    ])
  })

  test('of an absolute-form request chooses the route', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, route: { match: { hosts: ['b.test'] } } })
    const client = plane.connect()
    expect((await client.ask(get('http://b.test/', ['Host: a.test']))).status).toBe(200)
    expect((await client.ask(get('http://a.test/', ['Host: b.test']))).status).toBe(404)
  })

  test('* is forwarded with OPTIONS', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    expect((await plane.connect().ask(request('OPTIONS', '*'))).text).toBe('OPTIONS *')
  })

  test('loses the prefix that the route strips, whole segments only', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({
      versions: { blue: upstream },
      route: { match: { path: { prefix: '/shop' } }, rewrite: { stripPrefix: '/shop' } },
    })
    const client = plane.connect()
    for (const [sent, forwarded] of [
      ['/shop', '/'],
      ['/shop/', '/'],
      ['/shop?a', '/?a'],
      ['/shop/a/b?c=/shop', '/a/b?c=/shop'],
      ['/x/../shop/a', '/a'],
      ['/shop//a', '//a'],
    ]) {
      expect((await client.ask(get(sent!))).text).toBe(`GET ${forwarded}`)
    }
    expect((await client.ask(get('/shopping'))).status).toBe(404)
  })
})

describe('the Host that the upstream sees', () => {
  async function hostsSeen(host: string): Promise<[string[], string | undefined][]> {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, route: { rewrite: { host } } })
    const client = plane.connect()
    await client.ask(get('/', ['Host: Shop.Test:8443']))
    await client.ask('GET / HTTP/1.0\r\n\r\n')
    return upstream.heads.map(head => [
      head.all('host').map(value => (value === upstream.url.slice(7) ? 'endpoint' : value)),
      head.get('x-forwarded-host'),
    ])
  }

  test("preserve: the client's, or the endpoint's where the client has none", async () => {
    expect(await hostsSeen('preserve')).toEqual([
      [['Shop.Test:8443'], 'Shop.Test:8443'],
      [['endpoint'], undefined],
    ])
  })

  test("upstream: the endpoint's", async () => {
    expect(await hostsSeen('upstream')).toEqual([
      [['endpoint'], 'Shop.Test:8443'],
      [['endpoint'], undefined],
    ])
  })

  test('a literal', async () => {
    expect(await hostsSeen('inner.test:99')).toEqual([
      [['inner.test:99'], 'Shop.Test:8443'],
      [['inner.test:99'], undefined],
    ])
  })
})

describe('Max-Forwards', () => {
  test('is counted down on OPTIONS and TRACE, and left alone on others', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    for (const method of ['OPTIONS', 'TRACE', 'GET']) await client.ask(request(method, '/', ['Max-Forwards: 1']))
    await client.ask(request('OPTIONS', '/'))
    expect(upstream.heads.map(head => head.get('max-forwards'))).toEqual(['0', '0', '1', undefined])
  })

  test('0 is answered here and reaches no upstream', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    const options = await client.ask(request('OPTIONS', '/', ['Max-Forwards: 0']))
    expect([options.status, options.text]).toEqual([200, ''])
    const trace = await client.ask(
      request('TRACE', '/a', ['Max-Forwards: 0', 'X-Any: 1', 'Cookie: a=b', 'Authorization: c']),
    )
    expect([trace.status, trace.get('content-type')]).toEqual([200, 'message/http'])
    expect(trace.text).toBe('TRACE /a HTTP/1.1\r\nHost: shop.test\r\nMax-Forwards: 0\r\nX-Any: 1\r\n\r\n')
    expect((await client.ask(get('/next', ['Max-Forwards: 0']))).text).toBe('GET /next')
    expect(upstream.heads.length).toBe(1)
  })

  test('that is no number is refused', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    for (const value of ['', '-1', '1.5', 'x']) {
      expect((await plane.connect().ask(request('OPTIONS', '/', [`Max-Forwards: ${value}`]))).status).toBe(400)
    }
    expect(upstream.heads).toEqual([])
  })
})

test('methods nobody has heard of pass', async () => {
  const upstream = await startUpstream({ '/': ok() })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  for (const method of ['PROPFIND', 'M-SEARCH', 'get', 'X']) {
    await client.ask(request(method, '/'))
    expect(upstream.heads.at(-1)!.method).toBe(method)
  }
})
