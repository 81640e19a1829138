import { readFileSync } from 'node:fs'
import { parseIpv4, PlatformError } from '@nubo/base'
import { z } from 'zod'

const address = z.string().refine((text) => parseIpv4(text) !== undefined, 'not an IPv4 address')
/** 'address:port' */
const server = z.string().regex(/^[^\s/:]+:\d{1,5}$/, "not 'address:port'")
const folder = z.string().regex(/^\//, 'not an absolute path')

const resources = z.strictObject({
  cpuMillis: z.int().min(0),
  memoryBytes: z.int().min(0),
  diskBytes: z.int().min(0),
})

/** agent.json: what an operator, or the lab, says about one host. Times are milliseconds, sizes bytes. */
export const agentConfig = z.strictObject({
  /** Identity and wanted state lie here; its owner only may read it. */
  stateDir: folder,
  /** Where to look for the region first; a host that has joined also knows what the servers and the token told. */
  servers: z.array(server).max(64).default([]),
  host: z
    .strictObject({
      /** What instances may take at most; the whole machine if absent. */
      capacity: resources.optional(),
      /** Kept for the system. */
      reserve: resources.default({ cpuMillis: 0, memoryBytes: 0, diskBytes: 0 }),
      managementAddress: address.optional(),
    })
    .prefault({}),
  docker: z
    .strictObject({
      socket: folder.default('/run/docker.sock'),
      /** Parent of the cgroups of all sets. */
      cgroupParent: z.string().regex(/^\//).default('/nubo-sets'),
    })
    .prefault({}),
  switch: z.strictObject({
    ovsdbSocket: folder.default('/run/openvswitch/db.sock'),
    /** Where the switch makes its control sockets. */
    runDir: folder.default('/run/openvswitch'),
    datapathType: z.enum(['netdev', 'system']).default('system'),
    bridge: z.string().default('br-int'),
    underlayBridge: z.string().default('br-phy'),
    /** The host's address in the underlay, on the underlay bridge. */
    vtepAddress: address,
    tunnelUdpPort: z.int().min(1).max(65_535).default(4_789),
  }),
  /** UDP at the VTEP address: hosts look for each other there, as a second sign of life. */
  probePort: z.int().min(1).max(65_535).default(7_444),
  /** Guests get 50 bytes less for the tunnel. */
  underlayMtuBytes: z.int().min(576).max(65_535).default(1_500),
  /** A file that changes when the host is powered on, for hosts that share a kernel. */
  bootIdFile: folder.optional(),
  /** Container engines slow down when many start at once: more is not faster. */
  parallelStartsMax: z.int().min(1).max(64).default(4),
  parallelPullsMax: z.int().min(1).max(64).default(3),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
})
export type AgentConfig = z.infer<typeof agentConfig>

/** Reads agent.json. Throws SETUP_FAILED that names the file and the field. */
export function readAgentConfig(file: string): AgentConfig {
  let json: unknown
  try {
    json = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new PlatformError(
      'SETUP_FAILED',
      { file, next: 'write it as docs/guides/join-real-servers.md shows' },
      { message: `The configuration ${file} cannot be read`, cause },
    )
  }
  const parsed = agentConfig.safeParse(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new PlatformError(
    'SETUP_FAILED',
    { file, field: issue?.path.join('.') },
    {
      message: `The configuration ${file} is wrong: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`,
    },
  )
}
