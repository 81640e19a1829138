import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { REGISTRY_ISSUER, REGISTRY_SERVICE } from '../domains/images/index.ts'
import type { CertificateAuthority } from '../domains/fleet/index.ts'
import { REGISTRY_CERTIFICATE_VALIDITY_MS } from './certificates.ts'
import { writePrivateFile } from './private-file.ts'

/**
 * Writes the configuration of Debian's docker-registry beside its keys: TLS by our CA, bearer tokens by us, deletion on,
 * no blob cache (a garbage collection runs beside it). JSON is YAML. Idempotent; the certificate is new each time.
 */
export async function writeRegistryConfig(deps: {
  configFile: string
  address: string
  storageDir: string
  certificates: CertificateAuthority
}): Promise<void> {
  const folder = dirname(deps.configFile)
  mkdirSync(deps.storageDir, { recursive: true, mode: 0o700 })
  const host = deps.address.slice(0, deps.address.lastIndexOf(':'))
  const files = {
    certificate: join(folder, 'registry.crt'),
    key: join(folder, 'registry.key'),
    signer: join(folder, 'registry-signer.crt'),
  }
  const issued = await deps.certificates.issueServer({
    commonName: 'Nubo image registry',
    addresses: [host],
    validityMs: REGISTRY_CERTIFICATE_VALIDITY_MS,
  })
  const signer = await deps.certificates.registrySigner()
  writePrivateFile(files.key, issued.keyPem)
  writePrivateFile(files.certificate, `${issued.certificatePem}\n${deps.certificates.caPem}\n`)
  writePrivateFile(files.signer, signer.certificatePem)
  const config = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: deps.storageDir },
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: true, age: '24h', interval: '6h', dryrun: false } },
    },
    http: {
      addr: deps.address,
      // Signs upload states; the same after each restart, and known to nobody who does not know the key.
      secret: createHash('sha256').update(`uploads of ${signer.keyPem}`).digest('hex'),
      tls: { certificate: files.certificate, key: files.key },
      headers: { 'X-Content-Type-Options': ['nosniff'] },
    },
    auth: {
      token: {
        realm: `https://${deps.address}/token`,
        service: REGISTRY_SERVICE,
        issuer: REGISTRY_ISSUER,
        rootcertbundle: files.signer,
      },
    },
  }
  writePrivateFile(deps.configFile, `${JSON.stringify(config, null, 2)}\n`)
}
