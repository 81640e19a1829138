import { newId, PlatformError, type Clock, type Random } from '@nubo/base'
import type { Host } from '@nubo/contracts'
import { formatJoinToken } from '@nubo/contracts/host'
import { violatedConstraint, type Log } from '@nubo/runtime'
import { instancesBy, type HostRow, type Recorder, type World } from '../../world/index.ts'
import { newSecret, secretSha256 } from '../identity/index.ts'
import { inUse, requireUnused } from './host.ts'
import type { CertificateAuthority, PowerControl } from './needs.ts'
import { deleteHost, setCordoned, upsertInvitation } from './store.ts'

export const INVITATION_VALIDITY_MS = 15 * 60_000

export interface ServiceDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly certificates: CertificateAuthority
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly power: Pick<PowerControl, 'keepPassword'>
  readonly region: string
  /** Host contract addresses of all servers of the region, 'address:port'; they go into join tokens. */
  readonly hostContractServers: readonly string[]
}

export interface HostInvite {
  readonly name: string
  readonly zone: string
  readonly rack: string
  readonly roles: Host['roles']
  readonly labels: Readonly<Record<string, string>>
}

export type FleetService = ReturnType<typeof createFleetService>

/** What operators do with hosts. */
export function createFleetService(deps: ServiceDeps) {
  const { world, recorder, certificates, clock, random, log, power } = deps

  /** By id or name; NOT_FOUND. */
  function find(nameOrId: string): HostRow {
    const row = world.host.get(nameOrId) ?? world.host.by('name', nameOrId)[0]
    if (row === undefined) throw new PlatformError('NOT_FOUND', { kind: 'host', host: nameOrId })
    return row
  }

  return {
    find,

    /** Never refused: a known host gets a new token, and the one before it no longer counts. */
    invite: async (
      asked: HostInvite,
    ): Promise<{ row: HostRow; token: string; expiresAtMs: number }> => {
      const secret = newSecret(random)
      const atMs = clock.nowMs()
      const expiresAtMs = atMs + INVITATION_VALIDITY_MS
      const fresh = newId<'host'>(clock, random)
      const id = await recorder.write((tx, touched) =>
        upsertInvitation(tx, touched, {
          host: { ...asked, id: fresh, region: deps.region },
          secretSha256: secretSha256(secret),
          expiresAtMs,
          atMs,
        }),
      )
      const token = formatJoinToken({
        v: 1,
        hostName: asked.name,
        caSha256: certificates.caSha256,
        secret,
        servers: [...deps.hostContractServers],
      })
      return { row: find(id), token, expiresAtMs }
    },

    /** Idempotent. NOT_ALLOWED_NOW: a host in maintenance takes nothing. */
    cordon: async (nameOrId: string, cordoned: boolean): Promise<HostRow> => {
      const { id, name, maintenance } = find(nameOrId)
      if (!cordoned && maintenance)
        throw new PlatformError(
          'NOT_ALLOWED_NOW',
          { host: name, next: `nubo host maintenance off ${name}` },
          { message: `Host ${name} is in maintenance.` },
        )
      await recorder.write((tx, touched) => setCordoned(tx, touched, { id, cordoned }))
      return find(id)
    },

    /** Ends its certificates and, on whichever server has it, its session. Errors: NOT_FOUND, IN_USE. */
    remove: async (nameOrId: string): Promise<HostRow> => {
      const row = find(nameOrId)
      requireUnused(world, row)
      await recorder
        .write((tx, touched) => deleteHost(tx, touched, row.id))
        .catch((error: unknown) => {
          // Something was placed there since this process looked.
          if (violatedConstraint(error) === undefined) throw error
          const instances = instancesBy(world, 'host', row.id)
          throw inUse(row, { instances, ports: world.port.by('host', row.id) }, error)
        })
      await power.keepPassword(row.id, null)
      log.info('a host was removed', { host: row.name, hostId: row.id })
      return row
    },
  }
}
