-- Orthanc sends each image that a modality gave it to the node, and never the node's own results.
-- In orthanc.json:  "LuaScripts": ["orthanc-route.lua"],
--                   "DicomModalities": { "node": ["XIQA", "10.1.0.9", 11112] }
-- Give the node no peer with `originals = true` here: Orthanc has the originals already.
function OnStoredInstance(instanceId, tags, metadata, origin)
  if origin["RequestOrigin"] ~= "Lua" and origin["RemoteAet"] ~= "XIQA" then
    if tags["Modality"] == "CR" or tags["Modality"] == "DX" then
      SendToModality(instanceId, "node")
    end
  end
end
