#!lua
-- Queue messages, unless one of the same key still lives. Without the flag `allow-oom`, so that a full server refuses.
-- Asked: the delay, and place, key and body of each. Returns 1 for each that was queued, 0 for each that was not.
local delay, messages = unpack(asked)
local keys, outcomes, homes, new = {}, {}, {}, {}
for i, message in ipairs(messages) do keys[i] = message[2] end
local found = redis.call('HMGET', living, unpack(keys))
for i, message in ipairs(messages) do
  local place, key, body = unpack(message)
  if new[key] or found[i] and inhabited(key, found[i]) then
    outcomes[i] = 0
  else
    new[key] = true
    homes[#homes + 1] = key
    homes[#homes + 1] = put(place, key, body, 0, delay)
    outcomes[i] = 1
  end
end
if #homes > 0 then redis.call('HSET', living, unpack(homes)) end
return cmsgpack.pack(outcomes)
