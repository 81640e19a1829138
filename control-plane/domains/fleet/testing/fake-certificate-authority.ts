import { PlatformError, type Clock } from '@nubo/base'
import type { CertificateAuthority } from '../needs.ts'

const WEEK_MS = 7 * 86_400_000

/** No cryptography: a certificate is the text of what it says, and only the request 'broken' is refused. */
export function fakeCertificateAuthority(clock: Clock): CertificateAuthority {
  const keyed = (certificatePem: string) => ({
    certificatePem,
    keyPem: 'key',
    expiresAtMs: clock.nowMs() + WEEK_MS,
  })
  return {
    caPem: 'ca',
    caSha256: '0'.repeat(64),
    issueServer: async ({ commonName }) => keyed(commonName),
    issueHost: async ({ hostId, certificateRequest, serial }) => {
      if (certificateRequest === 'broken')
        throw new PlatformError('INVALID_INPUT', { field: 'certificateRequest' })
      return { certificatePem: `${hostId} ${serial}`, expiresAtMs: clock.nowMs() + WEEK_MS }
    },
    registrySigner: async () => keyed('signer'),
  }
}
