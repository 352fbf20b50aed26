#!lua
-- Send dead letters again, unless their messages were sent again meanwhile. Asked: place and entry of each.
-- Returns how many there were.
local letters = unpack(asked)
local known = 0
for _, letter in ipairs(letters) do
  local place, id = unpack(letter)
  local entry = entry_of(queues[place].dead, id)
  if entry then
    known = known + 1
    local message = read(entry)
    local home = redis.call('HGET', living, message.key)
    if not (home and inhabited(message.key, home)) then
      home = put(place, message.key, message.body, 0, 0)
      if message.key ~= '' then redis.call('HSET', living, message.key, home) end
    end
    redis.call('XDEL', queues[place].dead, id)
  end
end
return cmsgpack.pack(known)
