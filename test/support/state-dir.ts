// A state directory of a test's own.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** A directory that is not there yet, and is removed with the test. */
export function stateDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'turnout-state-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return join(dir, 'state')
}
