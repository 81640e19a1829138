export { type ImageRegistry, type ImportLock } from './needs.ts'
export { createImageCollection } from './reconcilers/collect.ts'
export {
  createRegistryTokens,
  PUSH_TOKEN_VALIDITY_MS,
  REGISTRY_ISSUER,
  REGISTRY_SERVICE,
  type RegistryTokens,
} from './registry-token.ts'
export { imageBindings } from './routes.ts'
export { createImageService, type ImageService } from './service.ts'
export { imageView } from './views.ts'
