// Once the API has answered, no worker sends anyone to the old version.
import { expect, test } from 'vitest'
import { Api, rounds, startVersion } from '../support/release.ts'
import { shop, startProcess } from '../support/turnout.ts'
import { get } from '../support/wire.ts'

const ROUNDS = rounds(1000, 300)

test('after the answer to a cutover not one request reaches the old version, on any of four workers', async () => {
  const [blue, green] = [await startVersion('blue'), await startVersion('green')]
  const traffic = { split: { weights: { blue: 1, green: 0 } } }
  const turnout = await startProcess(shop({ blue, green }, { traffic }, { workers: 4 }))
  const api = new Api(turnout.adminUrl)
  // The kernel spreads them over the workers; with 32, one without any is one in ten thousand.
  const clients = Array.from({ length: 32 }, () => turnout.connect())
  let requests = 0
  for (let i = 0; i < ROUNDS; i++) {
    const to = i % 2 === 0 ? 'green' : 'blue'
    await api.must('POST', '/v1/services/shop/cutover', { to })
    const answers = await Promise.all(clients.map(client => client.ask(get('/'))))
    requests += answers.length
    expect(answers.filter(({ text }) => text !== to)).toEqual([])
  }
  console.log(`${ROUNDS} cutovers, ${requests} requests after them, 0 to the old version`)
}, 300_000)
