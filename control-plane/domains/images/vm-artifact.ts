import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { StoredBlob } from './archive.ts'
import { VIRTUAL_BYTES_MAX } from './disk-format.ts'

/** What VMs start from lies in the registry as an OCI artifact: a manifest whose config says what the layers are. */
export const VM_MANIFEST_MEDIA_TYPE = 'application/vnd.oci.image.manifest.v1+json'
export const VM_CONFIG_MEDIA_TYPE = 'application/vnd.nubo.vm.config.v1+json'
export const VM_DISK_MEDIA_TYPE = 'application/vnd.nubo.vm.disk.v1.qcow2'
export const VM_KERNEL_MEDIA_TYPE = 'application/vnd.nubo.vm.kernel.v1'
export const VM_INITRD_MEDIA_TYPE = 'application/vnd.nubo.vm.initrd.v1'

/** As the kernel takes it: one line that can be shown. */
export const commandLine = z.string().regex(/^[\x20-\x7e]{0,2048}$/)

const config = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('disk'),
    format: z.literal('qcow2'),
    virtualBytes: z.int().min(1).max(VIRTUAL_BYTES_MAX),
    commandLine: z.null(),
  }),
  z.strictObject({
    kind: z.literal('kernel'),
    format: z.enum(['bzimage', 'elf']),
    virtualBytes: z.literal(0),
    commandLine,
  }),
])
export type VmArtifactConfig = z.infer<typeof config>

const descriptor = z.strictObject({
  mediaType: z.string().max(200),
  size: z.int().min(1),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
})
type Descriptor = z.infer<typeof descriptor>
const manifest = z.strictObject({
  schemaVersion: z.literal(2),
  mediaType: z.literal(VM_MANIFEST_MEDIA_TYPE),
  config: descriptor,
  layers: z.array(descriptor).min(1).max(2),
})

/** What an upload turned out to be, when a VM starts from it. */
export interface UnpackedVm {
  readonly source: 'raw' | 'qcow2' | 'vmdk' | 'kernel'
  /** The disk, or the kernel and then its initial file system. */
  readonly layers: readonly StoredBlob[]
  readonly vm: VmArtifactConfig
}

/** Neither time nor place goes in: the same layers give the same digests. Pure. */
export function composeVmArtifact({ vm, layers }: Pick<UnpackedVm, 'vm' | 'layers'>): {
  readonly config: { readonly text: string; readonly digest: string; readonly sizeBytes: number }
  readonly manifest: string
  readonly mediaType: string
} {
  const types = layerTypes(vm)
  const text = JSON.stringify(vm)
  const composed = {
    text,
    digest: digestOfText(text),
    sizeBytes: Buffer.byteLength(text),
  }
  const body: z.infer<typeof manifest> = {
    schemaVersion: 2,
    mediaType: VM_MANIFEST_MEDIA_TYPE,
    config: {
      mediaType: VM_CONFIG_MEDIA_TYPE,
      size: composed.sizeBytes,
      digest: composed.digest,
    },
    layers: layers.map(({ sizeBytes, digest }, at) => ({
      mediaType: types[at] ?? '',
      size: sizeBytes,
      digest,
    })),
  }
  return { config: composed, manifest: JSON.stringify(body), mediaType: VM_MANIFEST_MEDIA_TYPE }
}

function layerTypes(vm: VmArtifactConfig): readonly string[] {
  return vm.kind === 'disk' ? [VM_DISK_MEDIA_TYPE] : [VM_KERNEL_MEDIA_TYPE, VM_INITRD_MEDIA_TYPE]
}

export interface VmArtifact {
  readonly vm: VmArtifactConfig
  readonly layers: readonly Descriptor[]
}

/** What was composed, from its two texts. Throws RangeError with what is wrong, for anything else. */
export function parseVmArtifact(manifestText: string, configText: string): VmArtifact {
  const { config: named, layers } = parse(manifest, manifestText, 'manifest')
  if (named.mediaType !== VM_CONFIG_MEDIA_TYPE)
    throw new RangeError(`the config is of the type ${named.mediaType}: no image for VMs`)
  if (named.digest !== digestOfText(configText))
    throw new RangeError(`the config does not have the digest ${named.digest}`)
  const vm = parse(config, configText, 'config')
  const types = layerTypes(vm)
  if (layers.length !== types.length || layers.some(({ mediaType }, at) => mediaType !== types[at]))
    throw new RangeError(`the layers of a ${vm.kind} are ${types.join(' and ')}`)
  return { vm, layers }
}

function digestOfText(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}

function parse<Schema extends z.ZodType>(
  schema: Schema,
  text: string,
  what: string,
): z.infer<Schema> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new RangeError(`the ${what} is not JSON`, { cause })
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new RangeError(`the ${what} is malformed: ${issue?.path.join('.')} ${issue?.message}`)
}
