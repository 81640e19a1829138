// breaks: kebab-case
export const script = 1
