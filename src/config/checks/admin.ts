// Who may use the admin API, and under which names: tokens that tell who it was, and hosts that can be asked for.
import type { Path } from '../problems.ts'

import { type Context, checkUnique } from './context.ts'
import { checkHost } from './hosts.ts'
import { checkSecret } from './secret.ts'

export function checkAdmin(context: Context): void {
  const { tokens, hosts } = context.config.admin
  const paths = tokens.map((_, i): Path => ['admin', 'tokens', i, 'name'])
  const names = tokens.map(token => token.name)
  checkUnique(context, 'token', names, paths)
  const owners = new Map<string, number>()
  tokens.forEach(({ secret }, i) => {
    const path: Path = ['admin', 'tokens', i, 'secret']
    if (secret === undefined) return
    const { problems } = context
    checkSecret(context, path, secret, 'error')
    if (!/^[\x21-\x7e]*$/.test(secret)) {
      const message = 'the secret has characters that an Authorization header cannot carry'
      problems.error('CONFIG_FORMAT', path, message, 'Use letters, digits and signs of ASCII, no blanks.')
    }
    const owner = owners.get(secret)
    if (owner === undefined) {
      owners.set(secret, i)
    } else {
      const message = `admin.tokens[${owner}] has the same secret, so nobody could tell who used it`
      problems.error('CONFIG_CONFLICT', path, message, 'Give each token its own.')
    }
  })
  hosts.forEach((host, i) => {
    checkHost(context, ['admin', 'hosts', i], host, 'the admin API compares', false)
  })
}
