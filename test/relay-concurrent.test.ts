import { expect, test } from 'vitest'
import { numbers } from './support/bytes.ts'
import { startPlane } from './support/plane.ts'
import { type RawClient, startUpstream, turn } from './support/raw.ts'
import { get, request, response } from './support/wire.ts'

/** Text that nobody else sends. */
function signed(owner: string, size: number): string {
  return `${owner}:`.repeat(Math.ceil(size / (owner.length + 1))).slice(0, size)
}

/** Cuts a text into chunks of random sizes. */
function chunked(text: string, next: (limit: number) => number): string {
  let out = ''
  for (let i = 0; i < text.length; ) {
    const piece = text.slice(i, i + next(30_000))
    out += `${piece.length.toString(16)}\r\n${piece}\r\n`
    i += piece.length
  }
  return `${out}0\r\n\r\n`
}

test('requests and answers of many connections at once never mix', async () => {
  const next = numbers(7)
  const upstream = await startUpstream({
    '*': async (side, { target, text }) => {
      const [, owner, size, framing] = target.split('/') as [string, string, string, string]
      const body = signed(owner, Number(size)) + text
      const bytes =
        framing === 'chunked'
          ? response(200, ['Transfer-Encoding: chunked', `X-Owner: ${owner}`], chunked(body, next))
          : response(200, [`Content-Length: ${body.length}`, `X-Owner: ${owner}`], body)
      await side.dribble(bytes, () => next(50_000))
    },
  })
  const plane = await startPlane({
    versions: { blue: upstream },
    service: { pool: { connections: 15 }, timeouts: { connect: '1m' } },
  })
  const talk = async (i: number) => {
    const client = plane.connect()
    for (let j = 0; j < 12; j++) {
      const owner = `c${i}r${j}`
      const sent = signed(owner, next(4) === 1 ? next(150_000) : next(3000))
      const size = next(3) === 1 ? next(150_000) : next(3000)
      const target = `/${owner}/${size}/${next(2) === 1 ? 'chunked' : 'length'}`
      const bytes =
        next(2) === 1
          ? request('POST', target, ['Transfer-Encoding: chunked'], chunked(sent, next))
          : request('POST', target, [`Content-Length: ${sent.length}`], sent)
      const writing = (async () => {
        for (let at = 0; at < bytes.length; ) {
          const step = next(40_000)
          client.write(bytes.slice(at, at + step))
          at += step
          await turn()
        }
      })()
      const answer = await client.next()
      await writing
      expect(answer.get('x-owner')).toBe(owner)
      expect(answer.text === signed(owner, size) + sent).toBe(true)
    }
  }
  await Promise.all(Array.from({ length: 25 }, (_, i) => talk(i)))
  expect(plane.codes()).toEqual({ 200: 300 })
  expect(plane.errors()).toEqual({})
  expect(upstream.sides.length).toBeLessThanOrEqual(15)
})

test('clients that break off in the middle do not disturb the others', async () => {
  const next = numbers(9)
  const upstream = await startUpstream({
    '*': async (side, { target, text }) => {
      const body = target + text
      await side.dribble(response(200, [`Content-Length: ${body.length}`], body), () => next(body.length))
    },
  })
  // Each turn of so many takes long on a busy machine.
  const plane = await startPlane({ versions: { blue: upstream }, service: { timeouts: { connect: '1m' } } })
  const talk = async (i: number) => {
    let client: RawClient = plane.connect()
    for (let j = 0; j < 20; j++) {
      const target = `/${i}/${j}`
      const sent = signed(`c${i}r${j}`, next(20_000))
      const bytes = request('POST', target, [`Content-Length: ${sent.length}`], sent)
      if (next(3) === 1) {
        client.write(bytes.slice(0, next(bytes.length)))
        for (let turns = next(5); turns > 0; turns--) await turn()
        if (next(2) === 1) client.reset()
        else client.destroy()
        client = plane.connect()
      } else {
        expect((await client.ask(bytes)).text === target + sent).toBe(true)
      }
    }
    expect((await client.ask(get('/last'))).text).toBe('/last')
  }
  await Promise.all(Array.from({ length: 20 }, (_, i) => talk(i)))
  expect(plane.errors()).toEqual({})
})
