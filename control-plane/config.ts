import { dirname, join } from 'node:path'
import { PlatformError } from '@nubo/base'
import { quotaResource } from '@nubo/contracts'
import { z } from 'zod'

const listen = z.strictObject({ host: z.string(), port: z.int().min(1).max(65_535) })

/** The configuration file of a server process. */
export const serverConfig = z.strictObject({
  serverName: z.string().regex(/^[a-z0-9-]{1,40}$/),
  region: z.string().regex(/^[a-z0-9-]{1,40}$/),
  databaseUrl: z.string(),
  /** 32 random bytes that seal the keys in the database; root only; made by `prepare` if absent. */
  keyFile: z.string(),
  /** Receives the first operator token; root only. */
  bootstrapTokenFile: z.string(),
  /** Receives the CA certificate of the region, for the engines of hosts; beside the key file if not said. */
  caFile: z.string().optional(),
  api: listen,
  hostContract: listen,
  /** Every server of the region as 'address:port', this one included. */
  peers: z.strictObject({
    api: z.array(z.string()).min(1),
    hostContract: z.array(z.string()).min(1),
  }),
  registry: z.strictObject({
    /** 'address:port' as hosts and servers reach it. */
    address: z.string(),
    storageDir: z.string(),
    configFile: z.string(),
  }),
  dataDir: z.string(),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  overcommit: z
    .strictObject({ cpu: z.number().min(1).max(64), memory: z.number().min(1).max(4) })
    .default({ cpu: 4, memory: 1 }),
  /** Limits of projects for which `nubo quota set` has said nothing; null or absent: none. The same on every server. */
  quotaDefaults: z.partialRecord(quotaResource, z.int().nonnegative().nullable()).default({}),
  /** How long, and how many, audit rows are kept; about 500 bytes each. */
  audit: z
    .strictObject({ days: z.int().min(1).max(3_650), rowsMax: z.int().min(1_000) })
    .default({ days: 90, rowsMax: 1_000_000 }),
  /** When nothing is fenced because too much is lost at once; shares of the hosts in service. */
  brake: z
    .strictObject({
      lostHostsMin: z.int().min(1).default(2),
      zoneShareMax: z.number().min(0).max(1).default(0.4),
      rackShareMax: z.number().min(0).max(1).default(0.6),
    })
    .prefault({}),
  /** So many hosts of a zone may be lost at once: ordinary placements leave room for their `elsewhere` sets. */
  reserveHosts: z.int().min(0).max(16).default(0),
  /** So many sets of one drained host, and of all of them, are under way to other hosts at a time. */
  drain: z
    .strictObject({
      movesPerHost: z.int().min(1).max(256).default(4),
      movesPerRegion: z.int().min(1).max(1_024).default(16),
    })
    .prefault({}),
})
export type ServerConfig = z.infer<typeof serverConfig>

/** INVALID_INPUT names the field. */
export function parseServerConfig(text: string): ServerConfig {
  const parsed = serverConfig.safeParse(JSON.parse(text))
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new PlatformError(
    'INVALID_INPUT',
    { field: issue?.path.join('.') },
    { message: `The server's configuration is wrong: ${issue?.path.join('.')}: ${issue?.message}` },
  )
}

export function caFileOf(config: ServerConfig): string {
  return config.caFile ?? join(dirname(config.keyFile), 'ca.pem')
}
