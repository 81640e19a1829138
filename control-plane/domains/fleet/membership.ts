import { PlatformError, type Clock, type HostId, type Random } from '@nubo/base'
import type { CertificateReply } from '@nubo/contracts/host'
import type { Database, Log } from '@nubo/runtime'
import type { Recorder, Tables, World } from '../../world/index.ts'
import { secretSha256 } from '../identity/index.ts'
import {
  isAdmitted,
  newCertificateLine,
  serialOfLine,
  type HostCertificate,
} from './certificate-line.ts'
import type { CertificateAuthority } from './needs.ts'
import { readNewestRevision, redeemInvitation } from './store.ts'

/** How long a certificate that this process does not know yet may wait for the news to arrive. */
const ADMISSION_WAIT_MS = 2_000

export interface MembershipDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly database: Database<Tables>
  readonly certificates: CertificateAuthority
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export type Membership = ReturnType<typeof createMembership>

/** How machines become hosts and prove that they are. */
export function createMembership(deps: MembershipDeps) {
  const { world, recorder, database, certificates, clock, random, log } = deps

  async function issue(asked: {
    hostId: HostId
    line: string
    certificateRequest: string
  }): Promise<CertificateReply> {
    const { hostId, line, certificateRequest } = asked
    const serial = serialOfLine(line, random)
    const issued = await certificates.issueHost({ hostId, certificateRequest, serial })
    return {
      hostId,
      certificate: issued.certificatePem,
      ca: certificates.caPem,
      expiresAtMs: issued.expiresAtMs,
    }
  }

  return {
    /** One transaction. Errors: JOIN_REFUSED; INVALID_INPUT for a bad request, which leaves the token usable. */
    join: async (asked: {
      hostName: string
      secret: string
      certificateRequest: string
    }): Promise<CertificateReply> => {
      const { hostName, certificateRequest } = asked
      const line = newCertificateLine(random)
      const reply = await recorder.write(async (tx, touched) => {
        const hostId = await redeemInvitation(tx, touched, {
          name: hostName,
          secretSha256: secretSha256(asked.secret),
          certificateLine: line,
          atMs: clock.nowMs(),
        })
        if (hostId === undefined) {
          throw new PlatformError('JOIN_REFUSED', { next: 'ask for a new token: nubo host invite' })
        }
        return issue({ hostId, line, certificateRequest })
      })
      log.info('a host joined', { host: hostName, hostId: reply.hostId })
      return reply
    },

    /**
     * For a host that showed an admitted certificate with this serial. May be repeated. The certificate is judged once
     * more: between its showing and now the host may have joined anew, and a certificate of the line that this ended
     * must not turn into one of the new line. Errors: NOT_FOUND, UNAUTHENTICATED, INVALID_INPUT.
     */
    renew: async (asked: {
      hostId: HostId
      serial: string
      certificateRequest: string
    }): Promise<CertificateReply> => {
      const { hostId, serial, certificateRequest } = asked
      const line = world.host.get(hostId)?.certificateSerial
      if (line === undefined || line === null)
        throw new PlatformError('NOT_FOUND', { kind: 'host', host: hostId })
      if (!isAdmitted(world, { hostId, serial }))
        throw new PlatformError(
          'UNAUTHENTICATED',
          { host: hostId, next: 'join the region anew' },
          { message: 'The certificate of the host was revoked.' },
        )
      return issue({ hostId, line, certificateRequest })
    },

    /** What this process knows now; for sessions that were admitted and may have been revoked since. */
    isAdmitted: (certificate: HostCertificate): boolean => isAdmitted(world, certificate),

    /**
     * Whether the bearer of this certificate (chain and dates were checked with TLS) is a host of ours now. One that
     * joined a moment ago through another server is waited for. Errors: DATABASE_UNAVAILABLE, DEADLINE_EXCEEDED.
     */
    admits: async (certificate: HostCertificate): Promise<boolean> => {
      if (isAdmitted(world, certificate)) return true
      await world.reached(await readNewestRevision(database), ADMISSION_WAIT_MS)
      return isAdmitted(world, certificate)
    },
  }
}
