/**
 * One run of a bench program: a temporary directory, and the promise that nothing is left behind.
 * Whatever ends the run (its end, an error, Ctrl-C), the programs it started are ended and the directory is removed.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { killPrograms, stopPrograms } from './process.ts'

/** A mistake in how the bench was called or set up: told in one line, without a stack. */
export class UsageError extends Error {}

/** Runs `main` with a temporary directory and exits with the code it answers. */
export async function runSession(main: (dir: string) => Promise<number>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'turnout-bench-'))
  process.once('exit', () => {
    killPrograms()
    rmSync(dir, { recursive: true, force: true })
  })
  let interrupted = false
  for (const [signal, code] of [['SIGINT', 130] as const, ['SIGTERM', 143] as const]) {
    process.once(signal, () => {
      interrupted = true
      process.stderr.write(`\n${signal}: ending the programs this run started\n`)
      void stopPrograms().finally(() => process.exit(code))
    })
  }
  let code = 1
  try {
    code = await main(dir)
  } catch (error) {
    // What fails because its programs were just ended is no news.
    if (interrupted) return
    process.stderr.write(`${error instanceof UsageError ? error.message : (error as Error).stack}\n`)
  }
  await stopPrograms()
  if (!interrupted) process.exit(code)
}

/** `count` ports of 127.0.0.1 that are free now, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports: number[] = []
  for (const server of servers) {
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    ports.push((server.address() as { port: number }).port)
  }
  for (const server of servers) await new Promise(resolve => server.close(resolve))
  return ports
}
