import { createHash } from 'node:crypto'
import type { UnpackedImage } from './unpack.ts'

/** Docker image manifest, version 2 schema 2: what every engine of the last ten years pulls. */
const MANIFEST_MEDIA_TYPE = 'application/vnd.docker.distribution.manifest.v2+json'
const CONFIG_MEDIA_TYPE = 'application/vnd.docker.container.image.v1+json'
const LAYER_MEDIA_TYPE = 'application/vnd.docker.image.rootfs.diff.tar'

export interface ComposedManifest {
  readonly mediaType: string
  readonly config: { readonly text: string; readonly digest: string; readonly sizeBytes: number }
  readonly manifest: string
}

/** The same archive gives the same digests: nothing of time or place goes in. Pure. */
export function composeManifest(image: UnpackedImage): ComposedManifest {
  const { history: _history, rootfs: _rootfs, created: _created, ...kept } = image.config
  const text = JSON.stringify({
    ...kept,
    rootfs: { type: 'layers', diff_ids: image.layers.map((layer) => layer.digest) },
  })
  const config = {
    text,
    digest: `sha256:${createHash('sha256').update(text).digest('hex')}`,
    sizeBytes: Buffer.byteLength(text),
  }
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_MEDIA_TYPE,
    config: { mediaType: CONFIG_MEDIA_TYPE, size: config.sizeBytes, digest: config.digest },
    layers: image.layers.map((layer) => ({
      mediaType: LAYER_MEDIA_TYPE,
      size: layer.sizeBytes,
      digest: layer.digest,
    })),
  })
  return { config, manifest, mediaType: MANIFEST_MEDIA_TYPE }
}
