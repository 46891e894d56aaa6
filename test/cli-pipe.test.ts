// What a command prints into a pipe: all of it, and no more than somebody reads.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { jsonSchema } from '../src/config/json-schema.ts'
import { COMMAND } from './support/turnout.ts'

/** What the shell prints for a command line, in which $T is turnout. */
async function shell(line: string): Promise<string> {
  const env = { ...process.env, T: `${process.execPath} ${COMMAND}` }
  const { stdout } = await promisify(execFile)('bash', ['-o', 'pipefail', '-c', line], { env })
  return stdout
}

test('more than a pipe holds is printed whole', async () => {
  const text = await shell('$T schema | cat')
  expect(text.length).toBeGreaterThan(64 * 1024)
  expect(JSON.parse(text)).toEqual(jsonSchema())
})

test('a reader that leaves early is no error', async () => {
  expect(await shell('$T schema | head -1')).toBe('{\n')
})

test.each(['schema', 'version', 'help'])('%s onto a full disk fails, and says so', async command => {
  const { code, stderr } = await shell(`$T ${command} > /dev/full`).then(
    () => ({ code: 0, stderr: '' }),
    (error: { code: number; stderr: string }) => error,
  )
  expect(stderr).toMatch(/^turnout: the output could not be written: ENOSPC: .+\n$/)
  expect(code).toBe(1)
})
