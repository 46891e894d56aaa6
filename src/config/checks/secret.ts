// Secrets: long enough that they cannot be guessed, and not the mask that stands for one in what is read back.
import type { Path, Severity } from '../problems.ts'
import { MASK } from '../secrets.ts'
import type { Context } from './context.ts'

const MIN_LENGTH = 16

/** Reports a secret that anyone could know; `severity` is for one that is merely short. */
export function checkSecret({ problems }: Context, path: Path, secret: string | undefined, severity: Severity): void {
  if (secret === undefined) return
  if (secret === MASK) {
    const message = `the secret is the ${MASK} that stands for a hidden one`
    problems.error('CONFIG_WEAK_SECRET', path, message, 'Write the secret, or a reference to the environment.')
  } else if (secret.length < MIN_LENGTH) {
    const message = `the secret has fewer than ${MIN_LENGTH} characters`
    problems[severity]('CONFIG_WEAK_SECRET', path, message, 'Use a long random one, such as 32 random bytes in hex.')
  }
}
