/**
 * What the Node baselines share: their ports, and the cheap hash that splits users 90/10 between two versions.
 * The hash is FNV-1a, so that the choice costs a baseline next to nothing.
 */

export interface Version {
  name: string
  origin: string
}

const [portArgument, bluePort, greenPort] = process.argv.slice(2)

/** The port to listen on, on 127.0.0.1. */
export const port = Number(portArgument)
export const blue: Version = { name: 'blue', origin: `http://127.0.0.1:${bluePort}` }
export const green: Version = { name: 'green', origin: `http://127.0.0.1:${greenPort}` }

/** The user's version; requests without a user go to blue. */
export function chooseVersion<T extends Version>(user: string | string[] | undefined, first: T, second: T): T {
  if (typeof user !== 'string') return first
  let hash = 0x811c9dc5
  for (let i = 0; i < user.length; i++) hash = Math.imul(hash ^ user.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % 100 < 90 ? first : second
}

/** The request's X-Forwarded-For with the client's address appended. */
export function forwardedFor(earlier: string | string[] | undefined, address: string | undefined): string {
  return earlier === undefined ? `${address}` : `${earlier}, ${address}`
}
