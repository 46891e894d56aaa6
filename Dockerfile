FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build

FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# The optional packages are Node itself, which this image has.
RUN npm ci --omit=dev --omit=optional

FROM node:24-slim
ARG VERSION=0.1.0
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="turnout" \
      org.opencontainers.image.description="A reverse-proxy traffic router that decides, per request, which version of a service answers." \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.base.name="docker.io/library/node:24-slim"
ENV NODE_ENV=production \
    TURNOUT_COMMIT=$COMMIT \
    TURNOUT_CONFIG=/etc/turnout/turnout.yaml
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json ./
COPY config config
# Where `state.dir` points by default; a volume keeps it.
RUN mkdir state && chown node:node state
USER node
EXPOSE 8080
# Asks the admin address 127.0.0.1:9901; where the config has another one, TURNOUT_ADMIN_URL names it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["node", "--disable-sigusr1", "dist/turnout.js", "healthcheck"]
# Node is process 1, so it gets the signals itself. SIGUSR1 would open the inspector.
CMD ["node", "--disable-sigusr1", "dist/turnout.js", "run"]
