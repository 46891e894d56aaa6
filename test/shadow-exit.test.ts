import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startUpstream, stopwatch } from './support/raw.ts'
import { shop, startLocal } from './support/turnout.ts'
import { get, ok } from './support/wire.ts'

test('a change does not wait for a shadow worker that cannot end, as while a name is looked up', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'turnout-exit-'))
  const fifo = join(directory, 'fifo')
  execFileSync('mkfifo', [fifo])
  // Like a look-up, this keeps a thread of the pool, and with it the end of the worker, until someone opens it too.
  const hang = `
    import { open } from 'node:fs'
    import { isMainThread, workerData } from 'node:worker_threads'
    if (!isMainThread && workerData.worker === undefined) open(${JSON.stringify(fifo)}, 'r', () => {})`
  // For reading and writing, which waits for nobody.
  const release = () => closeSync(openSync(fifo, 'r+'))
  const [blue, green] = await Promise.all([1, 2].map(() => startUpstream({ '*': ok('{}') })))
  const document = (mirrors: object[]) =>
    shop({ blue: blue!, green: green! }, { traffic: { split: { weights: { blue: 1 } }, mirrors } })
  const execArgv = ['--import', `data:text/javascript,${encodeURIComponent(hang)}`]
  const turnout = await startLocal(document([{ to: 'green' }]), { execArgv })
  onTestFinished(() => {
    release()
    rmSync(directory, { recursive: true })
  })
  await turnout.connect().ask(get('/'))
  await green!.until(() => green!.requests.length === 1, 'the copy')
  const taken = stopwatch()
  await turnout.reload(document([]))
  expect(taken()).toBeLessThan(3000)
  // The next life does not wait either.
  await turnout.reload(document([{ to: 'green' }]))
  release()
  await turnout.connect().ask(get('/'))
  await green!.until(() => green!.requests.length === 2, 'a copy of the next life')
})
