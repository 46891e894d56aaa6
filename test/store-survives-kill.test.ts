import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { Store } from '../src/store/sqlite.ts'
import { stateDir } from './support/state-dir.ts'

const WRITER = fileURLToPath(new URL('./support/revision-writer.ts', import.meta.url))
const ROUNDS = 3

/** Lets the writer write for a random time and kills it; answers the last number it said it had stored. */
async function writeUntilKilled(dir: string): Promise<number> {
  // Most of its time goes into loading its code, which is the same every time.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(dir, 'compiled') }
  const child = spawn(process.execPath, [WRITER, dir], { stdio: ['ignore', 'pipe', 'inherit'], env })
  onTestFinished(() => void child.kill('SIGKILL'))
  let said = ''
  child.stdout.on('data', data => {
    said += data
    // From the first one on, anywhere in the next few writes.
    if (said.length === data.length) setTimeout(() => child.kill('SIGKILL'), Math.random() * 20)
  })
  expect(await once(child, 'close')).toEqual([null, 'SIGKILL'])
  const complete = said.slice(0, said.lastIndexOf('\n')).split('\n')
  return Number(complete.at(-1))
}

test('killed in the middle of writes, the store holds the last revision that was reported, or the one after it', async () => {
  const dir = stateDir()
  for (let round = 1; round <= ROUNDS; round++) {
    const said = await writeUntilKilled(dir)
    const store = new Store(dir)
    const { revision } = store.inForce()!
    expect([said, said + 1]).toContain(revision.number)
    const { services } = JSON.parse(revision.document)
    if (revision.number > 1) expect(services[0].traffic.split.weights.green).toBe(revision.number)
    // Each revision, its pointer and its event are there together, without a gap.
    const numbers = Array.from({ length: Math.min(revision.number, 1000) }, (_, i) => revision.number - i)
    expect(store.revisions({ limit: 2000 }).map(line => line.number)).toEqual(numbers)
    const events = store.events({ limit: 1000 }).map(({ data }) => JSON.parse(data).revision)
    expect(events).toEqual(numbers)
    store.close()
  }
}, 120_000)
