-- Creates pods of about 1.5 kB, as they are stored, each under a name of its own.
local threads = 0
function setup(thread) thread:set("id", threads); threads = threads + 1 end

local made = 0
local prefix = os.getenv("PREFIX") or "p"
local headers = { ["Authorization"] = "Bearer " .. os.getenv("TOKEN"), ["Content-Type"] = "application/json" }

function request()
  made = made + 1
  local name = string.format("%s-%d-%d", prefix, id, made)
  local body = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"' .. name ..
    '","labels":{"app":"web","tier":"front"}},"spec":{"containers":[{"name":"c","image":"nginx:1.16",' ..
    '"ports":[{"containerPort":80}],"resources":{"requests":{"cpu":"100m","memory":"64Mi"}},' ..
    '"env":[{"name":"A","value":"b"}]}]}}'
  return wrk.format("POST", "/api/v1/namespaces/default/pods", headers, body)
end

local shown = 0
function response(status, headers, body)
  if status ~= 201 and shown < 2 then shown = shown + 1; print(status, body) end
end
