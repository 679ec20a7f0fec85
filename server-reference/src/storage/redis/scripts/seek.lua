
-- The number after which all was appended at a time or later.
local t = topic()
if not t or t.id ~= a.id or num(t.first) > a.from or num(t.tail) < a.to then return { 'changed' } end
local low, high = a.from, a.to
while low < high do
    local middle = low + math.floor((high - low) / 2)
    local entry = redis.call('XRANGE', E, str(middle + 1), str(middle + 1))[1]
    if not entry then return { 'hole' } end
    if num(entry[2][2]) < a.time then low = middle + 1 else high = middle end
end
return { 'after', str(low) }
