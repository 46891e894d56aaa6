// `turnout healthcheck`: is the turnout on this machine ready? For containers, whose image has no curl.
import { type AdminClient, AdminError, printable } from './admin-client.ts'

/** How long, in ms, it may take to answer. */
const TIMEOUT = 2000

/** Asks `/readyz`; throws an AdminError that says in one line why it is not ready, else answers the exit code. */
export async function healthcheck(client: AdminClient): Promise<number> {
  const failure = await client.notReady(TIMEOUT).catch((error: unknown) => {
    if (error instanceof AdminError) throw new AdminError(error.message.split('\n')[0]!)
    throw error
  })
  if (failure === null) return 0
  const checks = failure.split('\n').filter(line => line.startsWith('[-]'))
  throw new AdminError(`not ready: ${printable(checks.join('; ')) || 'it does not say why'}`)
}
