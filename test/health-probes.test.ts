import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startBlackHole } from './support/black-hole.ts'
import { blue, shopOf, startHealth, type TestHealth } from './support/health.ts'
import { startNobody } from './support/ports.ts'
import { quiet, type Script, startUpstream, type UpstreamSide } from './support/raw.ts'
import { poll, type Written } from './support/turnout.ts'
import { ok, response } from './support/wire.ts'

const probed = (health: Written = {}, service: Written = {}): Written => ({
  health: { interval: '10ms', timeout: '1s', ...health },
  slowStart: '0s',
  ...service,
})

/** An upstream whose health check answers these statuses, one after the other and the last one for good. */
async function startSequence(...statuses: number[]) {
  let next = 0
  const script: Script = side => {
    side.write(response(statuses[Math.min(next++, statuses.length - 1)]!, ['Content-Length: 0']))
  }
  return startUpstream({ '/healthz': script })
}

/** Writes this again and again until the connection ends. */
function writeForEver(side: UpstreamSide, text: string): void {
  side.socket.write(text, error => {
    if (error == null) writeForEver(side, text)
  })
}

/** An upstream of which every probe ends as this script says. */
async function outcomeOf(script: Script, health: Written = {}) {
  const upstream = await startUpstream({ '/healthz': script })
  const test = startHealth(blue([upstream], probed(health)))
  const { lastProbe } = await poll(() => {
    const endpoint = test.of(upstream)
    return endpoint.lastProbe === null ? null : endpoint
  }, 'the first result')
  return lastProbe!
}

describe('a probe', () => {
  test('is a GET with the host of the endpoint, on a connection of its own', async () => {
    const upstream = await startUpstream({ '/up?deep=1': ok() })
    const test = startHealth(blue([upstream], probed({ path: '/up?deep=1' })))
    await upstream.until(() => upstream.requests.length === 3, 'three probes')
    const [request] = upstream.requests
    expect(request!.start).toBe('GET /up?deep=1 HTTP/1.1')
    expect(request!.get('host')).toBe(`127.0.0.1:${upstream.port}`)
    expect(request!.get('user-agent')).toBe('turnout-health/1')
    expect(request!.get('connection')).toBe('close')
    expect(upstream.sides).toHaveLength(3)
    expect(test.of(upstream)).toMatchObject({ state: 'healthy', share: 1, reason: null, ejectedUntil: null })
    expect(test.of(upstream).lastProbe).toMatchObject({ ok: true, status: 200, error: null })
  })

  test('follows no redirect and counts it as good by default', async () => {
    const target = await startUpstream()
    const script = response(302, [`Location: ${target.url}/elsewhere`, 'Content-Length: 0'])
    expect(await outcomeOf(script)).toMatchObject({ ok: true, status: 302 })
    expect(target.sides).toHaveLength(0)
  })

  test.each([
    [['200-399'], 199, false],
    [['200-399'], 200, true],
    [['200-399'], 399, true],
    [['200-399'], 400, false],
    [['204', '500-501'], 204, true],
    [['204', '500-501'], 200, false],
    [['204', '500-501'], 501, true],
    [['204', '500-501'], 502, false],
  ] as const)('with %j expected and %i answered: %s', async (expected, status, isGood) => {
    // 199 would be an interim answer, after which none comes.
    const fields = status === 204 || status === 199 ? [] : ['Content-Length: 0']
    const result = await outcomeOf(response(status, fields), { expect: expected, timeout: '50ms' })
    expect(result.ok).toBe(isGood)
    expect(result.status).toBe(status === 199 ? null : status)
    if (status !== 199) expect(result.error).toBe(isGood ? null : `status ${status}`)
  })

  const failing: Record<string, [Script, string]> = {
    'never answers': [() => {}, 'no answer within 50 ms'],
    'never ends its head': [side => side.write('HTTP/1.1 200 OK\r\nA: b\r\n'), 'no answer within 50 ms'],
    'sends interim answers only': [side => side.write(response(103)), 'no answer within 50 ms'],
    'closes without an answer': [side => side.end(), 'connection closed without an answer'],
    'resets the connection': [side => side.reset(), 'connection reset'],
    'speaks another protocol': ['220 mail.test ESMTP\r\n', 'the answer is not HTTP'],
    'speaks binary': [Buffer.from([0, 1, 2, 3, 255, 13, 10, 13, 10]), 'the answer is not HTTP'],
    'sends a head without end': [
      side => {
        side.write('HTTP/1.1 200 OK\r\n')
        writeForEver(side, `A: ${'b'.repeat(4000)}\r\n`)
      },
      'the head of the answer is too large',
    ],
    'changes the protocol': [response(101, ['Upgrade: x', 'Connection: Upgrade']), 'bad upgrade'],
    'sends an impossible status': ['HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n', 'The expression evaluated'],
  }
  test.each(Object.entries(failing))('fails where the endpoint %s', async (_, [script, error]) => {
    const result = await outcomeOf(script, { timeout: '50ms' })
    expect(result).toMatchObject({ ok: false, status: null, error: expect.stringContaining(error) })
  })

  const good: Record<string, Script> = {
    'closes with its answer unannounced': side => side.socket.end(ok()),
    'announces that it closes': side => side.socket.end(ok('ok', ['Connection: close'])),
    'resets after its answer': side => side.socket.write(ok(), () => side.reset()),
    'sends less than it announced': side => side.socket.end(response(200, ['Content-Length: 20'], 'short')),
    'sends garbage after its answer': `${ok()}garbage\r\n\r\n`,
    'breaks its chunks': response(200, ['Transfer-Encoding: chunked'], 'no chunk\r\n'),
    'never ends its body': response(200, ['Content-Length: 20'], 'and'),
    'sends a body without end': side => {
      side.write(response(200))
      writeForEver(side, 'x'.repeat(16_384))
    },
    'answers ahead of time': side => side.write(response(103) + ok()),
  }
  test.each(Object.entries(good))('is judged by the status where the endpoint %s', async (_, script) => {
    const result = await outcomeOf(script, { timeout: '50ms' })
    expect(result).toMatchObject({ ok: true, status: 200, error: null })
  })

  test('is judged at the head, while the body is still awaited', async () => {
    const upstream = await startUpstream({ '/healthz': response(500, ['Content-Length: 20'], 'and') })
    const test = startHealth(blue([upstream], probed({ timeout: '10m' })))
    await test.happened('is unhealthy')
    expect(upstream.open).toBe(1)
  })

  test('does not read a body without end', async () => {
    const upstream = await startUpstream({
      '/healthz': side => {
        side.write(response(200))
        writeForEver(side, 'x'.repeat(16_384))
      },
    })
    startHealth(blue([upstream], probed({ timeout: '10m', interval: '1h' })))
    await upstream.until(() => upstream.last?.closed, 'the end of the probe')
  })

  test('fails where nothing listens', async () => {
    const test = startHealth(blue([await startNobody()], probed()))
    const event = await test.happened('is unhealthy')
    expect(event.reason).toBe('1 probe failed: connection refused')
  })

  test('includes the connection in its time, and leaves none behind when it is over', async () => {
    const black = await startBlackHole()
    const test = startHealth(blue([black], probed({ timeout: '50ms' })))
    const event = await test.happened('is unhealthy')
    expect(event.reason).toBe('1 probe failed: no answer within 50 ms')
  })

  test('is not failed by a control plane that stood still meanwhile', async () => {
    let blocked = 0
    const upstream = await startUpstream({
      '/healthz': side => {
        // The whole process stands still for longer than the timeout, and the answer takes a while after that.
        if (blocked++ < 2) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250)
        setTimeout(() => side.write(ok()), 20)
      },
    })
    const test = startHealth(blue([upstream], probed({ timeout: '200ms', fall: 1 })))
    await upstream.until(() => upstream.requests.length === 4, 'four probes')
    expect(test.messages).toEqual([])
    expect(test.of(upstream).lastProbe).toMatchObject({ ok: true })
  })

  test('is never failed by its time when the answer was there already', async () => {
    let test: TestHealth | null = null
    let delay = 10
    let answered: string[] = []
    const upstream = await startUpstream({
      '/healthz': side => {
        const before = test?.of(upstream).lastProbe
        setTimeout(() => {
          // Around the end of the time, so some come too late.
          if (test?.of(upstream).lastProbe !== before) return
          side.write(ok())
          answered.push(`${delay} ms`)
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
        }, ++delay)
      },
    })
    test = startHealth(blue([upstream], probed({ timeout: '20ms' })))
    let seen = test.of(upstream).lastProbe
    while (delay < 40) {
      await poll(() => test.of(upstream).lastProbe !== seen, 'a result')
      seen = test.of(upstream).lastProbe
      expect([answered, seen]).toMatchObject([answered, answered.length === 0 ? { ok: false } : { ok: true }])
      answered = []
    }
  })
})

describe('results', () => {
  test('the first one decides at once, later ones in a row', async () => {
    const upstream = await startSequence(500, 200, 500, 200, 200, 500, 500, 200, 500, 500, 500, 200)
    const test = startHealth(blue([upstream], probed({ rise: 2, fall: 3 })))
    const seen: string[] = []
    test.onEvent = ({ message, endpoint }) => {
      if (endpoint !== undefined) seen.push(`${upstream.requests.length}: ${message}`)
    }
    await test.happened('is healthy again', 2)
    const name = `endpoint ${upstream.url} of shop/blue`
    expect(seen).toEqual([
      `1: ${name} is unhealthy: 1 probe failed: status 500`,
      `5: ${name} is healthy again: 2 probes succeeded`,
      `11: ${name} is unhealthy: 3 probes failed: status 500`,
      `13: ${name} is healthy again: 2 probes succeeded`,
    ])
  })

  test('a good first one says nothing and changes no share', async () => {
    const upstream = await startSequence(200)
    const test = startHealth(blue([upstream], probed()))
    const { changes } = test
    await upstream.until(() => upstream.requests.length === 3, 'three probes')
    expect(test.events).toEqual([])
    expect(test.changes).toBe(changes)
  })

  test('are written to the shares, the log and the events, once each', async () => {
    const [one, two] = [await startSequence(200, 500, 500, 200), await startSequence(200)]
    const config = blue([one, two], probed({ rise: 1, fall: 2 }))
    const test = startHealth(config)
    const seen: unknown[] = []
    const before = test.changes
    test.onEvent = ({ endpoint }) => {
      if (endpoint === one.url) seen.push([test.of(one).state, test.shares([one, two]), test.changes - before])
    }
    const event = await test.happened('is healthy again')
    expect(seen).toEqual([
      ['unhealthy', [0, 1000], 1],
      ['healthy', [1000, 1000], 2],
    ])
    expect(event).toEqual({
      kind: 'health',
      actor: 'turnout',
      reason: '1 probe succeeded',
      service: 'shop',
      version: 'blue',
      endpoint: one.url,
      message: `endpoint ${one.url} of shop/blue is healthy again: 1 probe succeeded`,
    })
    const fields = { service: 'shop', version: 'blue', endpoint: one.url }
    expect(test.log).toMatchObject([
      { level: 'warn', msg: 'endpoint is unhealthy', reason: '2 probes failed: status 500', ...fields },
      { level: 'info', msg: 'endpoint is healthy again', reason: '1 probe succeeded', ...fields },
    ])
  })
})

describe('when probes are sent', () => {
  test('never two of one endpoint at a time, however slow it is', async () => {
    let open = 0
    let most = 0
    const upstream = await startUpstream({
      '/healthz': side => {
        most = Math.max(most, ++open)
        setTimeout(() => {
          open--
          side.write(ok())
        }, 30)
      },
    })
    startHealth(blue([upstream], probed({ interval: '10ms' })))
    await upstream.until(() => upstream.requests.length === 5, 'five probes')
    expect(most).toBe(1)
  })

  test('an interval is kept, give or take a tenth', async () => {
    const upstream = await startUpstream({ '/healthz': ok() })
    const times: number[] = []
    // When they are sent, because it may take a while until they arrive.
    const onSocket = () => times.push(performance.now())
    subscribe('net.client.socket', onSocket)
    onTestFinished(() => void unsubscribe('net.client.socket', onSocket))
    startHealth(blue([upstream], probed({ interval: '40ms' })))
    await poll(() => times.length >= 6, 'six probes')
    // The earliest first and the latest last would be 5 × 36 ms apart; timers may take longer, never less.
    expect(times[5]! - times[0]!).toBeGreaterThan(5 * 36 - 10)
  })

  test('no more than 256 at a time, and the others as soon as there is room', async () => {
    const waiting: (() => void)[] = []
    const upstream = await startUpstream({ '/healthz': side => waiting.push(() => side.write(ok())) })
    const versions = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`v${i}`, [upstream]]))
    const test = startHealth(shopOf(versions, probed({ interval: '1h', timeout: '10s' })))
    await poll(() => waiting.length === 256, 'as many as may be')
    await quiet(50)
    expect(waiting).toHaveLength(256)
    for (const answer of waiting.splice(0, 10)) answer()
    await poll(() => waiting.length === 256, 'as many again')
    for (const answer of waiting.splice(0)) answer()
    await poll(() => waiting.length === 34, 'the rest')
    for (const answer of waiting.splice(0)) answer()
    const known = () => Object.keys(versions).filter(name => test.of(upstream, name).lastProbe?.ok === true).length
    await poll(() => known() === 300, 'a result of each')
    expect(upstream.requests).toHaveLength(300)
  })

  test('first probes of many endpoints begin a millisecond apart', async () => {
    const upstream = await startUpstream()
    const versions = Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`v${i}`, [upstream]]))
    const times: number[] = []
    const onSocket = () => times.push(performance.now())
    subscribe('net.client.socket', onSocket)
    onTestFinished(() => void unsubscribe('net.client.socket', onSocket))
    const config = shopOf(versions, probed({ interval: '1h' }))
    const begun = performance.now()
    startHealth(config)
    await poll(() => times.length === 250, 'all probes')
    // A timer may be early by what a millisecond is rounded.
    expect(times[249]! - begun).toBeGreaterThan(247)
  })
})

describe('a revision', () => {
  test('that does not touch an endpoint leaves its state and its probes alone', async () => {
    const [one, two, three] = [await startSequence(500), await startSequence(200), await startSequence(200)]
    const settings = probed({ interval: '1h' })
    const test = startHealth(blue([one, two], settings))
    await test.happened('is unhealthy')
    await poll(() => test.of(two).lastProbe, 'a result')
    const { since } = test.of(one)
    test.follow(blue([three, one, two], settings))
    expect(test.shares([one, two, three])).toEqual([0, 1000, 1000])
    expect(test.of(one)).toMatchObject({ state: 'unhealthy', since, reason: '1 probe failed: status 500' })
    await poll(() => test.of(three).lastProbe, 'a probe of the new one')
    expect([one, two, three].map(({ requests }) => requests.length)).toEqual([1, 1, 1])
    expect(test.events).toHaveLength(1)
  })

  test('with other checks probes at once by them, and counts on', async () => {
    const upstream = await startUpstream({ '/healthz': response(500), '/up': ok() })
    const test = startHealth(blue([upstream], probed({ interval: '1h', rise: 2 })))
    await test.happened('is unhealthy')
    test.follow(blue([upstream], probed({ interval: '10ms', path: '/up', rise: 2 })))
    const event = await test.happened('is healthy again')
    expect(event.reason).toBe('2 probes succeeded')
    expect(upstream.requests.map(({ target }) => target)).toEqual(['/healthz', '/up', '/up'])
  })

  test('without checks brings unhealthy endpoints back and probes no more', async () => {
    const [one, two] = [await startSequence(500), await startSequence(200)]
    const test = startHealth(blue([one, two], probed({ fall: 1 })))
    await test.happened('is unhealthy')
    test.follow(blue([one, two], { slowStart: '0s' }))
    expect(test.messages.at(-1)).toBe(`endpoint ${one.url} of shop/blue is not probed any more: health checks are off`)
    expect(test.shares([one, two])).toEqual([1000, 1000])
    expect(test.of(one)).toMatchObject({ state: 'healthy', lastProbe: null })
    await poll(() => one.open === 0 && two.open === 0, 'no connection')
    const count = one.requests.length
    await quiet(50)
    expect(one.requests).toHaveLength(count)
  })

  test('that removes an endpoint ends its probes, also one under way', async () => {
    const upstream = await startUpstream({ '/healthz': () => {} })
    const other = await startSequence(200)
    const test = startHealth(blue([upstream, other], probed({ timeout: '10s' })))
    await upstream.until(() => upstream.requests.length === 1, 'a probe')
    test.follow(blue([other], probed({ timeout: '10s' })))
    await upstream.until(() => upstream.last.closed, 'the end of the probe')
    await poll(() => test.of(other).lastProbe, 'the other one probed')
    expect(upstream.sides).toHaveLength(1)
    expect(test.events).toEqual([])
  })

  test('that removes endpoints whose probes wait for their turn sends those no more', async () => {
    const upstream = await startUpstream({ '/healthz': () => {} })
    const other = await startSequence(200)
    const versions = Object.fromEntries(Array.from({ length: 260 }, (_, i) => [`v${i}`, [upstream]]))
    const test = startHealth(shopOf(versions, probed({ interval: '1h', timeout: '10m' })))
    await upstream.until(() => upstream.requests.length === 256, 'as many as may be')
    await quiet(20)
    test.follow(blue([other], probed()))
    await poll(() => upstream.open === 0 && test.of(other).lastProbe, 'the end of the probes')
    expect(upstream.sides).toHaveLength(256)
  })

  test('that brings an endpoint back knows nothing of its past', async () => {
    const [one, two] = [await startSequence(500), await startSequence(200)]
    const settings = probed({ interval: '1h' })
    const test = startHealth(blue([one, two], settings))
    await test.happened('is unhealthy')
    test.follow(blue([two], settings))
    // Its row was not scraped yet, so it gets the same again, with what was written there.
    test.follow(blue([one, two], settings))
    expect(test.shares([one, two])).toEqual([1000, 1000])
    expect((await test.happened('is unhealthy', 2)).reason).toBe('1 probe failed: status 500')
  })
})

test('the same address in two versions is two endpoints', async () => {
  const upstream = await startSequence(500, 200)
  const other = await startSequence(200)
  const versions = { blue: [upstream, other], green: [upstream, other] }
  const test = startHealth(shopOf(versions, probed({ interval: '1h' })))
  await poll(() => test.of(upstream, 'blue').lastProbe && test.of(upstream, 'green').lastProbe, 'both probed')
  const states = ['blue', 'green'].map(version => test.of(upstream, version).state)
  expect(states.toSorted()).toEqual(['healthy', 'unhealthy'])
  const [sick] = states[0] === 'unhealthy' ? ['blue', 'green'] : ['green', 'blue']
  expect(test.health.usable('shop', sick!)).toBe(1)
  expect(test.share(upstream, sick)).toBe(0)
})

test('close ends probes under way and reports nothing more', async () => {
  const upstream = await startUpstream({ '/healthz': () => {} })
  const test = startHealth(blue([upstream], probed({ timeout: '10s' })))
  await upstream.until(() => upstream.requests.length === 1, 'a probe')
  await test.health.close()
  await upstream.until(() => upstream.last.closed, 'the end of the probe')
  expect(test.events).toEqual([])
})

test('a URL without a port is probed at port 80', async () => {
  const ports: unknown[] = []
  const onSocket = (message: unknown) => {
    const { socket } = message as { socket: Socket }
    socket.once('error', error => ports.push((error as Error & { port?: number }).port))
    socket.once('connect', () => ports.push(socket.remotePort))
  }
  subscribe('net.client.socket', onSocket)
  onTestFinished(() => void unsubscribe('net.client.socket', onSocket))
  // Addresses of loopback that hardly anybody listens on; who does is at port 80 too.
  startHealth(blue([{ url: 'http://127.6.5.4' }, { url: 'http://127.6.5.4:80' }], probed({ interval: '1h' })))
  await poll(() => ports.length === 2, 'both probes')
  expect(ports).toEqual([80, 80])
})
