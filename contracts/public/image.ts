import { z } from 'zod'
import { id, idParams, inProject, listOf, listQuery, name, timeMs } from './common.ts'
import { defineRoute } from './route.ts'

export const image = z
  .object({
    id,
    projectId: id,
    name,
    /** Where hosts fetch it: repository@digest of the region's registry. */
    repository: z.string(),
    digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
    /** Sum of the layers as stored. */
    sizeBytes: z.int(),
    layers: z.int(),
    source: z.enum(['rootfs', 'docker-archive', 'oci-layout', 'raw', 'qcow2', 'vmdk', 'kernel']),
    /** What it starts: containers, or a VM from a disk or a kernel. */
    kind: z.enum(['container', 'disk', 'kernel']).default('container'),
    /** How large the disk is that a VM sees; null for what has none. */
    diskBytes: z.int().nullable().default(null),
    command: z.array(z.string()),
    /** Of the file that was imported; null where that was not kept. */
    uploadDigest: z.string().nullable().default(null),
    /** How many sets and VMs use it. */
    usedBy: z.int(),
    createdAtMs: timeMs,
  })
  .meta({ id: 'Image' })
export type Image = z.infer<typeof image>

export const IMAGE_UPLOAD_BYTES_MAX = 8 * 2 ** 30

export const imageRoutes = {
  imageImport: defineRoute({
    method: 'POST',
    path: '/v1/images',
    summary:
      'Imports a file sent as the body (optionally gzip): for containers a root file system tar, the output of docker save, or an OCI layout tar; for VMs a raw, qcow2 or vmdk disk, or a tar of kernel, initrd and command-line. The kind is found by looking.',
    access: 'member',
    query: z.strictObject({
      ...inProject,
      name,
      /** sha256 of the file, checked when given. */
      digest: z
        .string()
        .regex(/^sha256:[0-9a-f]{64}$/)
        .optional(),
      /** Only for a root file system: the default command, repeated. */
      command: z.union([z.string(), z.array(z.string())]).optional(),
    }),
    reply: image,
    status: 200,
    form: 'upload',
  }),
  imageList: defineRoute({
    method: 'GET',
    path: '/v1/images',
    summary: 'Lists images of a project.',
    access: 'viewer',
    query: z.strictObject({ ...inProject, ...listQuery }),
    reply: listOf(image),
    status: 200,
    form: 'list',
  }),
  imageShow: defineRoute({
    method: 'GET',
    path: '/v1/images/:id',
    summary: 'Shows an image.',
    access: 'viewer',
    params: idParams,
    query: z.strictObject(inProject),
    reply: image,
    status: 200,
  }),
  imageRemove: defineRoute({
    method: 'DELETE',
    path: '/v1/images/:id',
    summary:
      'Removes an image that no set or VM uses; its blobs go with the next garbage collection.',
    access: 'member',
    params: idParams,
    query: z.strictObject(inProject),
    reply: image,
    status: 200,
  }),
}
