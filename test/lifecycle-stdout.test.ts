import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Stdout } from '../src/observe/stdout.ts'
import { reservePort } from './support/ports.ts'
import { COMMAND, ConfigFile, fetchOnce, poll, shop } from './support/turnout.ts'

function opened(path: string, flags: number | string): number {
  const fd = openSync(path, flags)
  onTestFinished(() => closeSync(fd))
  return fd
}

/** A pipe that nobody reads but who holds `reader`. */
function makePipe(): { reader: number; writer: number } {
  const dir = mkdtempSync(join(tmpdir(), 'turnout-test-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const path = join(dir, 'pipe')
  execFileSync('mkfifo', [path])
  return { reader: opened(path, constants.O_RDWR | constants.O_NONBLOCK), writer: opened(path, constants.O_WRONLY) }
}

/** What lies in a pipe. */
function take(reader: number): string {
  const buffer = Buffer.alloc(1024 * 1024)
  try {
    return buffer.toString('utf8', 0, readSync(reader, buffer))
  } catch {
    return ''
  }
}

const lines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `${String(from + i).padStart(99)}\n`).join('')

test('lines for a reader that stands still wait in order, and all arrive once it reads on', async () => {
  const { reader, writer } = makePipe()
  const stdout = new Stdout(writer)
  // A pipe holds 64 KiB.
  for (let i = 0; i < 4000; i += 100) stdout.write(lines(i, i + 100))
  let got = ''
  await poll(() => (got += take(reader)).length >= 400_000, 'all lines')
  expect(got).toBe(lines(0, 4000))
  stdout.write('again\n')
  await poll(() => (got += take(reader)).endsWith('again\n'), 'a line that came later')
  stdout.flush()
})

test('what waits is bounded, and what is kept are whole lines', async () => {
  const { reader, writer } = makePipe()
  const stdout = new Stdout(writer, 100_000)
  for (let i = 0; i < 10_000; i++) stdout.write(lines(i, i + 1))
  let got = ''
  await poll(() => {
    got += take(reader)
    stdout.write('end\n')
    return got.endsWith('end\n')
  }, 'the end')
  const kept = got.replaceAll('end\n', '')
  expect(kept).toBe(lines(0, kept.length / 100))
  expect(kept.length).toBeLessThan(400_000)
  stdout.flush()
})

test('a flush writes what waits, and gives up where nobody reads', () => {
  const { reader, writer } = makePipe()
  const stalled = new Stdout(writer)
  for (let i = 0; i < 4000; i++) stalled.write(lines(i, i + 1))
  stalled.flush()
  expect(take(reader).length).toBeLessThan(400_000)
  // Nothing is written after it.
  stalled.write('late\n')
  stalled.flush()
})

test.each([
  ['on a full disk', () => opened('/dev/full', 'w')],
  ['is a pipe that nobody reads', () => makePipe().writer],
])('turnout serves and stops when its standard output %s', async (_, open) => {
  const admin = `127.0.0.1:${await reservePort()}`
  const file = new ConfigFile(
    shop({ blue: { url: 'http://127.0.0.1:1' } }, {}, { admin: { address: admin }, log: { access: 'all' } }),
  )
  const child = spawn(process.execPath, [COMMAND, 'run', '--config', file.path], {
    stdio: ['ignore', open(), 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const status = (path: string) =>
    fetchOnce(`http://${admin}${path}`)
      .then(answer => answer.status)
      .catch(() => 0)
  await poll(async () => (await status('/readyz')) === 200, 'readiness')
  // Each write is logged; so many lines are more than a pipe holds.
  const call = (i: number) => fetchOnce(`http://${admin}/v1/services/shop/rollback?${'x'.repeat(1000)}${i}`, {}, 'POST')
  for (let i = 0; i < 600; i += 50) await Promise.all(Array.from({ length: 50 }, (_, j) => call(i + j)))
  expect(await status('/livez')).toBe(200)
  child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
})
