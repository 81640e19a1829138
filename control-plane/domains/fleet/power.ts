import { PlatformError } from '@nubo/base'
import type { HostPower } from '@nubo/contracts'

export interface PowerAsked {
  readonly redfish: string
  readonly user: string
  readonly certificateSha256?: string | undefined
}

const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]'])
const SYSTEM_PATH = /^\/redfish\/v1\/Systems\/[A-Za-z0-9._~-]{1,100}\/?$/

/**
 * The controller as it is recorded. Its password goes over the wire with each request, so: TLS with a certificate that is
 * known by its fingerprint (controllers sign their own), or loopback. Errors: INVALID_INPUT names the field.
 */
export function hostPowerOf(asked: PowerAsked): HostPower {
  const url = URL.parse(asked.redfish)
  if (url === null || !SYSTEM_PATH.test(url.pathname) || url.search !== '' || url.hash !== '')
    throw invalid(
      'redfish',
      'It must be the address of one machine: https://CONTROLLER/redfish/v1/Systems/ID',
    )
  if (url.username !== '' || url.password !== '')
    throw invalid('redfish', 'User and password do not belong into the address.')
  const certificateSha256 = asked.certificateSha256?.replaceAll(':', '').toLowerCase() ?? null
  if (certificateSha256 !== null && !/^[0-9a-f]{64}$/.test(certificateSha256))
    throw invalid('certificateSha256', 'A SHA-256 fingerprint has 64 hex digits.')
  if (url.protocol === 'https:' && certificateSha256 === null)
    throw invalid(
      'certificateSha256',
      'With https the fingerprint of the controller’s certificate is needed: openssl s_client -connect CONTROLLER:443 </dev/null | openssl x509 -noout -fingerprint -sha256',
    )
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && LOOPBACK.has(url.hostname)))
    throw invalid('redfish', 'Without TLS only a controller on loopback is allowed.')
  return {
    redfish: url.href.replace(/\/$/, ''),
    user: asked.user,
    certificateSha256: url.protocol === 'https:' ? certificateSha256 : null,
  }
}

function invalid(field: string, message: string): PlatformError {
  return new PlatformError('INVALID_INPUT', { field }, { message })
}
