# The image of turnout. Production: --build-arg NODE=node:24-slim@sha256:… pins the base, COMMIT and VERSION name the build.
ARG NODE=node:24-slim

FROM $NODE AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && chmod 755 dist/turnout.js

FROM $NODE AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# The optional packages are Node itself, which this image has.
RUN npm ci --omit=dev --omit=optional

FROM $NODE
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
# What `turnout demo` serves, the annotated reference, and the schema for editors.
COPY config/demo.yaml config/demo-shadow.yaml config/turnout.yaml config/turnout.schema.json config/
# Where `state.dir` points by default; a volume keeps it. Nothing else is written: the root may be read-only.
RUN mkdir state && chown node:node state && ln -s /app/dist/turnout.js /usr/local/bin/turnout
# The user node, by number: Kubernetes cannot tell from a name that it is not root (runAsNonRoot).
USER 1000:1000
EXPOSE 8080 9901
# Asks the admin address 127.0.0.1:9901; where the config has another one, TURNOUT_ADMIN_URL names it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["node", "--disable-sigusr1", "/app/dist/turnout.js", "healthcheck"]
# Exec form: Node is process 1 and gets the signals itself. SIGUSR1 would open the inspector.
ENTRYPOINT ["node", "--disable-sigusr1", "/app/dist/turnout.js"]
CMD ["run"]
