// All checks that look at more than one value, or at more of a value than its type, in one call.

import { checkAdmin } from './admin.ts'
import type { Context } from './context.ts'
import { checkListeners } from './listeners.ts'
import { checkMeaning } from './meaning.ts'
import { checkRedis } from './redis.ts'
import { checkRoutes } from './routes.ts'
import { checkServices } from './services.ts'

export function check(context: Context): void {
  checkListeners(context)
  checkAdmin(context)
  checkRedis(context)
  checkServices(context)
  checkRoutes(context)
  // Beside errors these would only repeat in other words what is wrong.
  if (!context.problems.hasErrors) checkMeaning(context)
}
