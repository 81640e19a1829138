import { Fields } from '../fields.ts'
import { migrationStates } from '../states.ts'
import { deed, question } from './command.ts'

export type MigrationCapability =
  | 'xbzrle'
  | 'auto-converge'
  | 'zero-blocks'
  | 'compress'
  | 'events'
  | 'postcopy-ram'
  | 'release-ram'
  | 'return-path'
  | 'pause-before-switchover'
  | 'multifd'
  | 'dirty-bitmaps'
  | 'postcopy-blocktime'
  | 'late-block-activate'
  | 'validate-uuid'
  | 'background-snapshot'
  | 'zero-copy-send'
  | 'postcopy-preempt'

/** Those that are used; `execute` takes the others. Bandwidths in bytes per second, the downtime in milliseconds. */
type MigrationParameters = {
  readonly 'downtime-limit'?: number
  readonly 'max-bandwidth'?: number
  readonly 'max-postcopy-bandwidth'?: number
  readonly 'multifd-channels'?: number
  readonly 'multifd-compression'?: 'none' | 'zlib' | 'zstd'
  readonly 'cpu-throttle-initial'?: number
  readonly 'cpu-throttle-increment'?: number
  readonly 'max-cpu-throttle'?: number
  readonly 'xbzrle-cache-size'?: number
  readonly 'tls-creds'?: string
  readonly 'tls-hostname'?: string
  readonly 'tls-authz'?: string
}

/** Live migration (qapi/migration.json). */
export const migrationCommands = {
  /** Returns at once; follow it with MIGRATION (capability `events`) or `query-migrate`. */
  migrate: deed<{ readonly uri: string; readonly resume?: boolean }>(),
  /** On a machine that was started with `-incoming defer`. */
  'migrate-incoming': deed<{ readonly uri: string }>(),
  'migrate-set-capabilities': deed<{
    readonly capabilities: readonly {
      readonly capability: MigrationCapability
      readonly state: boolean
    }[]
  }>(),
  'migrate-set-parameters': deed<MigrationParameters>(),
  'migrate-continue': deed<{ readonly state: 'pre-switchover' }>(),
  /** Idempotent; does nothing when no migration runs. */
  migrate_cancel: deed(),
  /**
   * The times may still be 0 in the first answer that says `completed`: ask again 100 ms later.
   * Counters beyond 2^53 are the nearest double.
   */
  'query-migrate': question((value, at) => {
    const fields = new Fields(value, at)
    const ram = fields.optionalObject('ram')
    return {
      /** Null before the first migration. */
      status: fields.has('status') ? fields.oneOf('status', migrationStates) : null,
      error: fields.optionalString('error-desc'),
      totalMs: fields.optionalCounter('total-time'),
      downtimeMs: fields.optionalCounter('downtime'),
      expectedDowntimeMs: fields.optionalCounter('expected-downtime'),
      setupMs: fields.optionalCounter('setup-time'),
      blockedReasons: fields.has('blocked-reasons') ? fields.strings('blocked-reasons') : [],
      ram:
        ram === null
          ? null
          : {
              transferredBytes: ram.counter('transferred'),
              remainingBytes: ram.counter('remaining'),
              totalBytes: ram.counter('total'),
              dirtyPagesPerSecond: ram.counter('dirty-pages-rate'),
              rounds: ram.counter('dirty-sync-count'),
            },
    }
  }),
}
