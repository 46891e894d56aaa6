// What this copy of turnout is: its version, the commit it was built from, and the Node it runs on.
import { readFileSync } from 'node:fs'

export type Build = { version: string; commit: string; node: string }

const ROOT = new URL('../../', import.meta.url)

/** Reads the facts of this build. The commit is `unknown` outside a checkout and an image. */
export function readBuild(): Build {
  const { version } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')) as { version: string }
  return { version, commit: process.env.TURNOUT_COMMIT || checkedOutCommit(), node: process.version }
}

/** The commit of the checkout that this file lies in, read without git, which an image does not have. */
function checkedOutCommit(): string {
  const read = (path: string) => readFileSync(new URL(`.git/${path}`, ROOT), 'utf8')
  try {
    const head = read('HEAD').trim()
    if (!head.startsWith('ref: ')) return head
    const ref = head.slice('ref: '.length)
    try {
      return read(ref).trim()
    } catch {
      // git packs references from time to time.
      const packed = read('packed-refs').split('\n')
      return packed.find(line => line.endsWith(` ${ref}`))?.split(' ')[0] ?? 'unknown'
    }
  } catch {
    return 'unknown'
  }
}
