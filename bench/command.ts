/**
 * Questions about commands of the system: are they installed, and which version are they.
 * Debian keeps servers in sbin, which is not on every user's PATH, so it is searched as well.
 */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The line that says which Debian package brings `command`, or null where it is installed. */
export function missingCommand(command: string, debianPackage: string): string | null {
  try {
    execFileSync('sh', ['-c', 'command -v "$0"', command], { env: searchPath(), stdio: 'ignore' })
    return null
  } catch {
    return `${command} is not installed: apt-get install ${debianPackage}`
  }
}

/** First group of `pattern` in what `command` prints about itself. */
export function commandVersion(command: string, flag: string, pattern: RegExp): string {
  // nginx prints its version as an error, and wrk exits with 1 after printing its own.
  const argv = ['-c', '"$0" "$1" 2>&1 || true', command, flag]
  const text = execFileSync('sh', argv, { env: searchPath(), encoding: 'utf8' })
  return pattern.exec(text)?.[1] ?? 'unknown version'
}

export function searchPath(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin` }
}

/** The version a package.json states. */
export function packageVersion(manifest: string): string {
  return JSON.parse(readFileSync(manifest, 'utf8')).version
}
