// Three replicas over one Redis, and three admins who change things at the same time, each at a replica of its own.
import { expect, test } from 'vitest'
import { AdminCaller } from './support/admin.ts'
import { startRedis } from './support/redis.ts'
import { rounds, startVersion } from './support/release.ts'
import { poll, shop, startLocal } from './support/turnout.ts'

const WRITES = rounds(1000, 200)

type Line = { number: number; time: string; actor: string; reason: string | null; summary: string }

async function history(api: AdminCaller): Promise<Line[]> {
  const lines: Line[] = []
  for (let before = ''; ; ) {
    const { json } = await api.get(`/v1/revisions?limit=100${before}`)
    const revisions: Line[] = json.revisions
    lines.push(...revisions)
    if (revisions.length < 100) return lines.reverse()
    before = `&before=${lines.at(-1)!.number}`
  }
}

test('each accepted revision is there exactly once, in the same order on all three; the rest is refused', async () => {
  const { url } = await startRedis()
  const [blue, green] = [await startVersion('blue'), await startVersion('green')]
  const tokens = ['anna', 'berta', 'cleo'].map(name => ({ name, role: 'operator', secret: `${name}-0123456789abcdef` }))
  const config = () =>
    shop({ blue, green }, {}, { admin: { address: '127.0.0.1:0', tokens }, redis: { url }, workers: 1 })
  const turnouts = [await startLocal(config()), await startLocal(config()), await startLocal(config())]
  const admins = turnouts.map((turnout, i) => new AdminCaller(turnout.adminUrl, tokens[i]!.secret))

  const writes = Array.from({ length: WRITES }, async (_, i) => {
    const api = admins[i % 3]!
    const reason = `write ${i}`
    // Every second one insists on what it has seen, as one who edits the document does.
    if (i % 2 === 0)
      return api.call('PUT', '/v1/services/shop/split', { body: { weights: { blue: i + 2, green: 1 }, reason } })
    const { headers, json: body } = await api.get('/v1/config')
    body.services[0].traffic = { split: { weights: { blue: 1, green: i + 2 } } }
    return api.call('PUT', `/v1/config?reason=${encodeURIComponent(reason)}`, {
      body,
      headers: { 'if-match': headers.etag as string },
    })
  })
  const answers = await Promise.all(writes)
  const accepted = answers.flatMap(({ status, json }, i) =>
    status === 200 && json.changed ? [{ number: json.revision as number, reason: `write ${i}` }] : [],
  )
  const refused = answers.filter(({ status }) => status !== 200)
  expect(refused.filter(({ status }) => status !== 409 && status !== 412)).toEqual([])
  expect(accepted.length + refused.length).toBe(WRITES)

  const newest = Math.max(...accepted.map(({ number }) => number))
  await poll(() => turnouts.every(({ plane }) => plane.revision.number === newest), 'all have the newest')
  const histories = await Promise.all(admins.map(history))
  expect(histories[0]!.map(({ number }) => number)).toEqual(Array.from({ length: newest }, (_, i) => i + 1))
  expect(newest).toBe(accepted.length + 1)
  const expected = accepted.toSorted((a, b) => a.number - b.number)
  expect(histories[0]!.slice(1).map(({ number, reason }) => ({ number, reason }))).toEqual(expected)
  const told = ({ number, time, actor, reason, summary }: Line) => ({ number, time, actor, reason, summary })
  expect(histories[1]!.map(told)).toEqual(histories[0]!.map(told))
  expect(histories[2]!.map(told)).toEqual(histories[0]!.map(told))
  const weights = turnouts.map(({ plane }) => plane.config.services[0]!.traffic.split.weights)
  expect(weights).toEqual([weights[0], weights[0], weights[0]])
  console.log(
    `${WRITES} writes from three admins: ${accepted.length} accepted, ${refused.length} refused with 409 or 412`,
  )
}, 300_000)
