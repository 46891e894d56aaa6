import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Worker threads and signals belong to a process, so each file gets one of its own.
    pool: 'forks',
    maxWorkers: 2,
    // Hundreds of turnouts are started, and each would compile the same code again.
    env: { NODE_COMPILE_CACHE: join(tmpdir(), 'turnout-test-compile-cache') },
    testTimeout: 20_000,
    hookTimeout: 20_000,
    reporters: ['default', './test/support/summary-reporter.ts'],
  },
})
